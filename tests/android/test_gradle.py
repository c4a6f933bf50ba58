"""The Gradle project, which can't run without Google's SDK, agrees with ``make apk``; the manifest and languages are as documented."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
import xml.etree.ElementTree as ElementTree

from repository import ROOT

import mobilevlm_export

APP = ROOT / "android_app/app"
SOURCES = "android_app/app/src/main/kotlin/org/mobilevlmkit/app"
ANDROID = "{http://schemas.android.com/apk/res/android}"


def _text(path: str) -> str:
    return (ROOT / path).read_text()


def test_the_catalog_has_the_stock_engine_and_the_kotlin_of_make_apk() -> None:
    catalog = tomllib.loads(_text("android_app/gradle/libs.versions.toml"))
    assert catalog["libraries"]["executorch"] == {
        "module": "org.pytorch:executorch-android",
        "version": {"ref": "executorch"},
    }
    assert catalog["versions"]["executorch"].startswith("1.5.")
    assert f"kotlin-stdlib:{catalog['versions']['kotlin']}" in _text("android_app/jars.lock")
    for build in ("build.gradle.kts", "core/build.gradle.kts", "app/build.gradle.kts"):
        for kind, name in re.findall(r"libs\.(plugins\.)?([a-z.]+)", _text(f"android_app/{build}")):
            assert name.replace(".", "-") in catalog["plugins" if kind else "libraries"]


def test_both_builds_agree() -> None:
    gradle, script = _text("android_app/app/build.gradle.kts"), _text("scripts/android_build.sh")
    for setting, variable in (("minSdk", "min_api"), ("targetSdk", "target_api")):
        assert re.search(rf"{setting} = (\d+)", gradle)[1] == re.search(rf"{variable}=(\d+)", script)[1]  # type: ignore[index]
    assert re.search(r"compileSdk = (\d+)", gradle)[1] == re.search(r"target_api=(\d+)", script)[1]  # type: ignore[index]
    assert (
        f"robolectric:{tomllib.loads(_text('android_app/gradle/libs.versions.toml'))['versions']['robolectric']}"
        in _text("android_app/robolectric.lock")
    )
    assert f'versionName = "{mobilevlm_export.__version__}"' in gradle
    assert "srcDir" not in gradle  # the conventional folders, which the script reads too
    assert (APP / "src/main/kotlin").is_dir()


def test_the_wrapper_is_gradles_own() -> None:
    """The checksums are those that Gradle publishes for 8.13, the version that this plugin needs."""
    wrapper = ROOT / "android_app/gradle/wrapper"
    jar = hashlib.sha256((wrapper / "gradle-wrapper.jar").read_bytes()).hexdigest()
    assert jar == "81a82aaea5abcc8ff68b3dfcb58b3c3c429378efd98e7433460610fecd7ae45f"
    properties = dict(line.split("=", 1) for line in (wrapper / "gradle-wrapper.properties").read_text().splitlines())
    assert properties["distributionUrl"] == r"https\://services.gradle.org/distributions/gradle-8.13-bin.zip"
    assert properties["distributionSha256Sum"] == "20f1b1176237254a6fc204d8434196fa11a4cfb387567519c61556e8710aed78"
    assert os.access(ROOT / "android_app/gradlew", os.X_OK)
    assert tomllib.loads(_text("android_app/gradle/libs.versions.toml"))["versions"]["agp"].startswith("8.13.")


def test_the_instrumented_test_is_the_one_that_is_started() -> None:
    name = re.search(r'testInstrumentationRunner = "([\w.]+)"', _text("android_app/app/build.gradle.kts"))
    assert name is not None
    assert (APP / f"src/androidTest/kotlin/{name[1].replace('.', '/')}.kt").is_file()
    started = _text("scripts/check_on_device.sh")
    assert f"am instrument -w org.mobilevlmkit.app.test/{name[1]} " in started
    assert "scripts/check_on_device.sh demo.mvlm.zip" in _text(".github/workflows/android.yml")


def test_only_the_launcher_is_exported_and_only_the_camera_is_asked_for() -> None:
    manifest = ElementTree.parse(APP / "src/main/AndroidManifest.xml").getroot()
    # The other two are granted at installation; ImportService says what for.
    assert [
        use.get(f"{ANDROID}name", "").removeprefix("android.permission.") for use in manifest.findall("uses-permission")
    ] == [
        "CAMERA",
        "FOREGROUND_SERVICE",
        "FOREGROUND_SERVICE_DATA_SYNC",
    ]
    assert {use.get(f"{ANDROID}required") for use in manifest.findall("uses-feature")} == {"false"}
    application = manifest.find("application")
    assert application is not None
    exported = [part.get(f"{ANDROID}name") for part in application if part.get(f"{ANDROID}exported") == "true"]
    assert exported == [".MainActivity"]
    assert application.get(f"{ANDROID}allowBackup") == "false"
    assert application.get(f"{ANDROID}enableOnBackInvokedCallback") == "true"
    rules = ElementTree.parse(APP / "src/main/res/xml/data_extraction_rules.xml").getroot()
    assert all("external" in {rule.get("domain") for rule in part.findall("exclude")} for part in rules)
    # A new phone has no models: what is known of those here would keep the packed one from being imported.
    (transfer,) = rules.findall("device-transfer")
    assert ("sharedpref", "this_phone.xml") in {
        (rule.get("domain"), rule.get("path")) for rule in transfer.findall("exclude")
    }
    (kept_here,) = re.findall(r'val here = context.getSharedPreferences\("(\w+)"', _text(f"{SOURCES}/Settings.kt"))
    assert kept_here == "this_phone"


def test_every_string_exists_in_both_languages_with_the_same_placeholders() -> None:
    def texts(folder: str) -> dict[str, list[str]]:
        root = ElementTree.parse(APP / f"src/main/res/{folder}/strings.xml").getroot()
        return {
            text.get("name", ""): sorted(set(re.findall(r"%\d\$[\d.]*[a-z]", text.text or "")))
            for text in root.findall("string")
        }

    def arrays(folder: str) -> dict[str, int]:
        root = ElementTree.parse(APP / f"src/main/res/{folder}/strings.xml").getroot()
        return {array.get("name", ""): len(array) for array in root.findall("string-array")}

    assert texts("values") == texts("values-zh")
    assert arrays("values") == arrays("values-zh")


def test_every_string_is_used() -> None:
    root = ElementTree.parse(APP / "src/main/res/values/strings.xml").getroot()
    sources = [path.read_text() for path in (APP / "src/main").rglob("*") if path.suffix in (".kt", ".xml")]
    used = set(re.findall(r"(?:R\.(?:string|array)\.|@string/)(\w+)", "\n".join(sources)))
    assert {text.get("name") for text in root} <= used
