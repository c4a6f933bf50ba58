"""The iOS app's strings exist in both languages, and equal Android's where the apps share them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from repository import ROOT

APP = ROOT / "ios_app/App"
CODE = [*APP.rglob("*.swift"), *(ROOT / "ios_app/Sources/MobileVLMApp").rglob("*.swift")]
ANDROID = ROOT / "android_app/app/src/main/res"
LANGUAGES = {"en": "values", "zh-Hans": "values-zh"}

# The argument of a call that shows a text; such calls may be nested.
CALL = r"(?=\b(?:[Ll]ocalized|LocalizedText|LocalizedStringResource|PictureNotice|localizedString|self\.init)\(((?:[^()]|\([^()]*\))*))"

# What is said on iOS alone.
THERMAL = ["thermal_nominal", "thermal_fair", "thermal_serious", "thermal_critical"]
IOS_ALONE = {
    *THERMAL,
    "about_engine",
    "about_text_ios",
    "problem_memory_detail_ios",
    "problem_memory_tight_ios",
    "settings_units",
    "units_model",
    "welcome_copy",
    "welcome_private_ios",
}


def _catalog(name: str) -> dict[str, dict[str, str]]:
    file = json.loads((APP / name).read_text())
    assert file["version"] == "1.0"
    assert file["sourceLanguage"] == "en"
    words = {}
    for key, entry in file["strings"].items():
        units = {language: said["stringUnit"] for language, said in entry["localizations"].items()}
        assert {unit["state"] for unit in units.values()} == {"translated"}, key
        words[key] = {language: unit["value"] for language, unit in units.items()}
    return words


def _android(language: str) -> dict[str, str]:
    """Android's strings, with placeholders in iOS's format."""
    root = ElementTree.parse(ANDROID / LANGUAGES[language] / "strings.xml").getroot()
    words = {entry.attrib["name"]: entry.text or "" for entry in root.iter("string")}
    places = {"s": "@", "d": "lld"}
    return {
        key: re.sub(r"%(\d)\$([sd])", lambda place: f"%{place[1]}${places[place[2]]}", text.replace(r"\'", "'"))
        for key, text in words.items()
    }


def _android_list(language: str, name: str) -> list[str]:
    root = ElementTree.parse(ANDROID / LANGUAGES[language] / "strings.xml").getroot()
    (found,) = (array for array in root.iter("string-array") if array.attrib["name"] == name)
    return [item.text or "" for item in found]


def _used() -> set[str]:
    """Every key used in a call that shows text."""
    keys = set()
    for file in CODE:
        for call in re.finditer(CALL, file.read_text()):
            keys |= set(re.findall(r'"([a-z_]+)"', call[1]))
    return keys | set(THERMAL)  # made of Thermal's cases


@pytest.mark.parametrize("name", ["Localizable.xcstrings", "InfoPlist.xcstrings"])
def test_every_string_exists_in_both_languages(name: str) -> None:
    for key, said in _catalog(name).items():
        assert said.keys() == LANGUAGES.keys(), key
        assert all(text.strip() for text in said.values()), key
        places = [sorted(set(re.findall(r"%(?:\d\$)?(?:lld|\.1f|@|.)", text))) for text in said.values()]
        assert places[0] == places[1], key


def test_the_keys_are_those_used_in_the_code() -> None:
    assert _used() == _catalog("Localizable.xcstrings").keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_shared_strings_equal_androids(language: str) -> None:
    mine = {key: said[language] for key, said in _catalog("Localizable.xcstrings").items()}
    android = _android(language)
    assert mine.keys() - android.keys() == IOS_ALONE
    for key in mine.keys() & android.keys():
        assert mine[key] == android[key], key


def test_thermal_states_have_androids_strings() -> None:
    (cases,) = re.findall(
        r"enum Thermal:[^{]*\{\s*case ([\w, ]+)",
        (ROOT / "ios_app/Sources/MobileVLMCore/Live/LivePolicy.swift").read_text(),
    )
    assert [f"thermal_{case}" for case in cases.split(", ")] == THERMAL
    for language in LANGUAGES:
        mine = [_catalog("Localizable.xcstrings")[key][language] for key in THERMAL]
        assert mine == _android_list(language, "thermal")[: len(THERMAL)]


def test_suggested_questions_equal_androids() -> None:
    settings = (ROOT / "ios_app/Sources/MobileVLMApp/Settings.swift").read_text()
    listed = re.search(r"ownPresets = \[(.*?)\]", settings, re.S)
    assert listed is not None
    for language in LANGUAGES:
        assert re.findall(r'"([^"]*)"', listed[1]) == _android_list(language, "presets_default")
        assert f'ownLiveQuestion = "{_android(language)["live_question_default"]}"' in settings


def test_the_camera_is_explained_in_both_places() -> None:
    said = _catalog("InfoPlist.xcstrings")["NSCameraUsageDescription"]["en"]
    project = (ROOT / "ios_app/MobileVLM.xcodeproj/project.pbxproj").read_text()
    assert project.count(f'INFOPLIST_KEY_NSCameraUsageDescription = "{said}";') == 2


def test_shortcut_phrases_exist_in_both_languages() -> None:
    """Each with the app's name; English ones as in the code."""
    (phrases,) = json.loads((APP / "AppShortcuts.xcstrings").read_text())["strings"].values()
    said = {language: entry["stringSet"]["values"] for language, entry in phrases["localizations"].items()}
    assert said.keys() == LANGUAGES.keys()
    assert all("${applicationName}" in phrase for values in said.values() for phrase in values)
    (listed,) = re.findall(r"phrases: \[(.*?)\]", (APP / "LiveIntent.swift").read_text(), re.S)
    code = [phrase.replace(r"\(.applicationName)", "${applicationName}") for phrase in re.findall(r'"([^"]*)"', listed)]
    assert said["en"] == code
