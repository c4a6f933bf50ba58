package org.mobilevlmkit.app

import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow

/** The app's one state, and the only place where it changes; on the main thread only. */
class StateHolder(first: UiState) {
    private val published = MutableStateFlow(first)
    val states: StateFlow<UiState> = published.asStateFlow()
    val state: UiState get() = published.value

    fun change(new: UiState.() -> UiState) {
        published.value = state.new()
    }
}
