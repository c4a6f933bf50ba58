package org.mobilevlmkit.app

import android.view.View

/** Version, engine, licenses. */
class AboutScreen(ui: Ui, model: AppModel) : ScreenView {
    override val view: View = ui.page(
        ui.string(R.string.about_title),
        { model.back() },
        ui.text(ui.string(R.string.about_text, version(ui))),
        ui.text(notice(ui), 14, R.color.text_soft),
    )

    override fun render(state: UiState) = Unit

    private fun version(ui: Ui): String = ui.context.packageManager.getPackageInfo(ui.context.packageName, 0).versionName ?: ""

    private fun notice(ui: Ui): String = ui.context.assets.open("NOTICE.txt").use { it.readBytes().toString(Charsets.UTF_8) }
}
