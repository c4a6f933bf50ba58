package org.mobilevlmkit.app

import android.app.AlertDialog
import android.content.res.ColorStateList
import android.text.format.DateUtils
import android.text.format.Formatter
import android.view.View
import org.mobilevlmkit.app.Ui.Companion.weighted
import org.mobilevlmkit.core.bundle.StoredBundle

/** The bundles on this phone, to use, delete or import. */
class BundlesScreen(private val ui: Ui, private val model: AppModel, actions: Actions) : ScreenView {
    private val import = ImportView(ui, model)
    private val list = ui.column()
    private var rendered: Any? = null
    override val view = ui.page(
        ui.string(R.string.bundles_title),
        { model.back() },
        list,
        import.view,
        ui.button(ui.string(R.string.choose_bundle), isMain = true, onClick = actions::chooseBundle),
        ui.text(ui.string(R.string.welcome_push), 14, R.color.text_soft),
        ui.button(ui.string(R.string.look_again)) { model.go(Screen.BUNDLES) },
    )

    override fun render(state: UiState) {
        import.render(state)
        val shown = state.bundles to state.session.bundle
        if (shown == rendered) return
        rendered = shown
        list.removeAllViews()
        for (bundle in state.bundles) list.addView(item(bundle, bundle.folder.name == state.session.bundle))
    }

    private fun item(bundle: StoredBundle, isInUse: Boolean): View {
        val size = Formatter.formatShortFileSize(ui.context, bundle.bytes)
        val format = DateUtils.FORMAT_SHOW_DATE or DateUtils.FORMAT_SHOW_YEAR or DateUtils.FORMAT_ABBREV_ALL
        val date = DateUtils.formatDateTime(ui.context, bundle.addedMillis, format)
        val isUsable = bundle.manifest != null && !bundle.isOutdated
        val line = if (isUsable) {
            ui.string(R.string.bundle_line, size, date, bundle.recipe)
        } else {
            "$size · ${ui.string(R.string.bundle_unreadable)}"
        }
        val name = ui.column(ui.heading(bundle.name, 18), ui.text(line, 14, R.color.text_soft), gap = 2)
        val views = arrayListOf<View>(ui.row(ui.badge(R.drawable.ic_model), name.weighted(), gap = 14))
        if (bundle.isOutdated) views.add(ui.text(ui.string(R.string.problem_outdated_detail, bundle.name), 14, R.color.problem))
        if (bundle.isUnreadable) views.add(ui.text(ui.string(R.string.bundle_no_access), 14, R.color.problem))
        bundle.problem?.takeUnless { bundle.isUnreadable }?.let { views.add(ui.text(model.plain(it), 14, R.color.problem)) }
        val delete = ui.icon(R.drawable.ic_delete, ui.string(R.string.bundle_delete_named, bundle.name), R.color.text_soft) {
            confirm(bundle, size)
        }
        val use = ui.button(ui.string(R.string.bundle_use), ui.string(R.string.bundle_use_named, bundle.name), isMain = true) {
            model.use(bundle)
        }
        val inUse = ui.text(ui.string(R.string.bundle_in_use), 16, R.color.accent).apply {
            setCompoundDrawablesRelativeWithIntrinsicBounds(R.drawable.ic_check, 0, 0, 0)
            compoundDrawableTintList = ColorStateList.valueOf(ui.color(R.color.accent))
            compoundDrawablePadding = ui.dp(8)
        }
        val first = when {
            !isUsable -> null
            isInUse -> inUse
            else -> use
        }
        views.add(ui.row(*listOfNotNull(first, ui.space(), delete).toTypedArray()))
        return ui.column(ui.card(*views.toTypedArray())).apply { setPadding(0, 0, 0, ui.dp(12)) }
    }

    private fun confirm(bundle: StoredBundle, size: String) {
        AlertDialog.Builder(ui.context)
            .setMessage(ui.string(R.string.bundle_delete_ask, bundle.name, size))
            .setPositiveButton(R.string.bundle_delete) { _, _ -> model.delete(bundle) }
            .setNegativeButton(R.string.cancel, null)
            .show()
    }
}
