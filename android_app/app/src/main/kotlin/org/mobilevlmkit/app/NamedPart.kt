package org.mobilevlmkit.app

/** A part of a picture that can be chosen without seeing it, by a screen reader's menu of actions; edges from 0 to 1. */
enum class NamedPart(val label: Int, val left: Float, val top: Float, val right: Float, val bottom: Float) {
    UPPER_HALF(R.string.part_upper_half, 0f, 0f, 1f, 0.5f),
    LOWER_HALF(R.string.part_lower_half, 0f, 0.5f, 1f, 1f),
    LEFT_HALF(R.string.part_left_half, 0f, 0f, 0.5f, 1f),
    RIGHT_HALF(R.string.part_right_half, 0.5f, 0f, 1f, 1f),
    CENTER(R.string.part_center, 0.25f, 0.25f, 0.75f, 0.75f),
    UPPER_LEFT(R.string.part_upper_left, 0f, 0f, 0.5f, 0.5f),
    UPPER_RIGHT(R.string.part_upper_right, 0.5f, 0f, 1f, 0.5f),
    LOWER_LEFT(R.string.part_lower_left, 0f, 0.5f, 0.5f, 1f),
    LOWER_RIGHT(R.string.part_lower_right, 0.5f, 0.5f, 1f, 1f),
    UPPER_THIRD(R.string.part_upper_third, 0f, 0f, 1f, 1 / 3f),
    MIDDLE_THIRD(R.string.part_middle_third, 0f, 1 / 3f, 1f, 2 / 3f),
    LOWER_THIRD(R.string.part_lower_third, 0f, 2 / 3f, 1f, 1f),
}
