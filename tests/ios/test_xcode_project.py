"""The Xcode project can't be opened here, so check that its file is consistent, and agrees with the package, the kit and the app."""

from __future__ import annotations

import plistlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest
from openstep_parser import OpenStepDecoder
from repository import ROOT

import mobilevlm_export

IOS = ROOT / "ios_app"
PROJECT = IOS / "MobileVLM.xcodeproj"
TARGET = "MobileVLM"


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    return _project()["objects"]


def _project() -> dict[str, Any]:
    with (PROJECT / "project.pbxproj").open() as file:
        return OpenStepDecoder.ParseFromFile(file)


def _only(objects: dict[str, Any], isa: str) -> dict[str, Any]:
    (found,) = (thing for thing in objects.values() if thing["isa"] == isa)
    return found


def _settings(objects: dict[str, Any], owner: str) -> Iterator[dict[str, str]]:
    configurations = objects[_only(objects, owner)["buildConfigurationList"]]["buildConfigurations"]
    assert [objects[key]["name"] for key in configurations] == ["Debug", "Release"]
    for key in configurations:
        yield objects[key]["buildSettings"]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if re.fullmatch(r"[0-9A-F]{24}", value):
            yield value
    else:
        for part in value.items() if isinstance(value, dict) else value:
            for piece in part if isinstance(part, tuple) else [part]:
                yield from _references(piece)


def test_the_project_is_consistent(objects: dict[str, Any]) -> None:
    project = _project()
    assert project["objectVersion"] == "77"  # Xcode 16, which knows synchronized folders
    assert objects[project["rootObject"]]["isa"] == "PBXProject"
    reached, left = set(), [project["rootObject"]]
    while left:
        key = left.pop()
        if key not in reached:
            reached.add(key)
            left += _references(objects[key])  # each reference leads to something
    assert reached == set(objects)


def test_its_files_exist(objects: dict[str, Any]) -> None:
    target = _only(objects, "PBXNativeTarget")
    assert [objects[key]["path"] for key in target["fileSystemSynchronizedGroups"]] == ["App"]
    assert any((IOS / "App").glob("*.swift"))
    assert not list((IOS / "App").rglob("Info.plist"))  # a synchronized folder would copy it
    for setting in _settings(objects, "PBXNativeTarget"):
        assert (IOS / setting["INFOPLIST_FILE"]).is_file()
        assert (IOS / setting["CODE_SIGN_ENTITLEMENTS"]).is_file()
        catalog = IOS / "App/Assets.xcassets"
        assert (catalog / f"{setting['ASSETCATALOG_COMPILER_APPICON_NAME']}.appiconset/icon.png").is_file()
        assert (catalog / f"{setting['ASSETCATALOG_COMPILER_GLOBAL_ACCENT_COLOR_NAME']}.colorset").is_dir()
    config = next(thing for thing in objects.values() if thing.get("path") == "Config")
    assert sorted(objects[key]["path"] for key in config["children"]) == sorted(
        path.name for path in (IOS / "Config").iterdir()
    )


def test_it_links_the_packages_products(objects: dict[str, Any]) -> None:
    package = (IOS / "Package.swift").read_text()
    offered = set(re.findall(r'\.library\(name: "(\w+)"', package))
    used = {thing["productName"] for thing in objects.values() if thing["isa"] == "XCSwiftPackageProductDependency"}
    assert used == {"MobileVLMCore", "MobileVLMCoreML", "MobileVLMApp"} <= offered
    assert _only(objects, "XCLocalSwiftPackageReference")["relativePath"] == "."
    target = _only(objects, "PBXNativeTarget")
    linked = {
        objects[objects[key]["productRef"]]["productName"] for key in _only(objects, "PBXFrameworksBuildPhase")["files"]
    }
    assert linked == {objects[key]["productName"] for key in target["packageProductDependencies"]} == used
    imported = {
        name
        for file in (IOS / "App").glob("*.swift")
        for name in re.findall(r"^import (MobileVLM\w+)$", file.read_text(), re.M)
    }
    assert imported == used


def test_it_agrees_with_the_package_and_the_kit(objects: dict[str, Any]) -> None:
    package = (IOS / "Package.swift").read_text()
    for setting in _settings(objects, "PBXProject"):
        assert f".iOS(.v{float(setting['IPHONEOS_DEPLOYMENT_TARGET']):.0f})" in package
        assert package.startswith(f"// swift-tools-version: {setting['SWIFT_VERSION']}")
    for setting in _settings(objects, "PBXNativeTarget"):
        assert setting["MARKETING_VERSION"] == mobilevlm_export.__version__
        assert setting["PRODUCT_BUNDLE_IDENTIFIER"] == "org.mobilevlmkit.app"
        assert setting["CODE_SIGN_STYLE"] == "Automatic"
        assert "DEVELOPMENT_TEAM" not in setting  # chosen by whoever builds it
        assert setting["INFOPLIST_KEY_NSCameraUsageDescription"]
    assert _only(objects, "PBXProject")["knownRegions"] == ["en", "Base", "zh-Hans"]


def test_the_scheme_runs_the_app(objects: dict[str, Any]) -> None:
    scheme = ElementTree.parse(PROJECT / f"xcshareddata/xcschemes/{TARGET}.xcscheme").getroot()
    references = list(scheme.iter("BuildableReference"))
    assert len(references) == 3
    for reference in references:
        assert objects[reference.attrib["BlueprintIdentifier"]]["name"] == reference.attrib["BlueprintName"] == TARGET
        assert reference.attrib["BuildableName"] == f"{TARGET}.app"
        assert reference.attrib["ReferencedContainer"] == f"container:{PROJECT.name}"


def test_the_only_entitlement_is_more_memory() -> None:
    entitlements = plistlib.loads((IOS / "Config/MobileVLM.entitlements").read_bytes())
    assert entitlements == {"com.apple.developer.kernel.increased-memory-limit": True}


def test_files_from_other_apps_and_computers_can_be_imported() -> None:
    info = plistlib.loads((IOS / "Config/Info.plist").read_bytes())
    assert info["UIFileSharingEnabled"] is True
    assert info["LSSupportsOpeningDocumentsInPlace"] is True
    kinds = [kind["LSItemContentTypes"] for kind in info["CFBundleDocumentTypes"]]
    assert kinds == [["public.zip-archive"], ["public.image"]]


def test_an_ipad_shows_one_window(objects: dict[str, Any]) -> None:
    """Two would share one model and one camera. Xcode's generated manifest allows several."""
    info = plistlib.loads((IOS / "Config/Info.plist").read_bytes())
    assert info["UIApplicationSceneManifest"] == {"UIApplicationSupportsMultipleScenes": False}
    for setting in _settings(objects, "PBXNativeTarget"):
        assert "INFOPLIST_KEY_UIApplicationSceneManifest_Generation" not in setting


def test_the_demo_model_is_packed_if_it_was_made() -> None:
    """Xcode packs every file in App; git ignores the model."""
    (made,) = re.findall(r"^IOS_DEMO := ios_app/App/(\S+)$", (ROOT / "Makefile").read_text(), re.M)
    (opened,) = re.findall(
        r'forResource: "([^"]+)", withExtension: "zip"', (IOS / "App/PhoneDependencies.swift").read_text()
    )
    assert made == f"{opened}.zip"
    assert "*.mvlm.zip" in (ROOT / ".gitignore").read_text().split()


def test_the_privacy_manifest_lists_used_apis_and_no_collection() -> None:
    manifest = plistlib.loads((IOS / "App/PrivacyInfo.xcprivacy").read_bytes())
    assert manifest["NSPrivacyTracking"] is False
    assert manifest["NSPrivacyTrackingDomains"] == manifest["NSPrivacyCollectedDataTypes"] == []
    named = {
        entry["NSPrivacyAccessedAPIType"].removeprefix("NSPrivacyAccessedAPICategory")
        for entry in manifest["NSPrivacyAccessedAPITypes"]
    }
    code = "\n".join(file.read_text() for folder in ("App", "Sources") for file in (IOS / folder).rglob("*.swift"))
    signs = {
        "FileTimestamp": r"contentModificationDate|creationDate|\bstat\(",
        "DiskSpace": r"systemFreeSize|volumeAvailableCapacity|systemSize",
        "UserDefaults": r"UserDefaults|AppStorage",
        "SystemBootTime": r"systemUptime|mach_absolute_time",
        "ActiveKeyboards": r"activeInputModes",
    }
    assert named == {kind for kind, sign in signs.items() if re.search(sign, code)}


def test_the_app_has_no_network_access() -> None:
    ways = r"URLSession|NWConnection|NWListener|CFSocket|CFStream|\bsocket\(|\bimport (Network|WebKit|SafariServices|CFNetwork|FoundationNetworking)\b|https?://"
    for folder in ("App", "Sources", "Config"):
        for file in (IOS / folder).rglob("*"):
            if file.suffix in {".swift", ".h", ".entitlements"}:
                found = re.search(ways, re.sub(r"<!DOCTYPE[^>]*>", "", file.read_text()))
                assert not found, f"{file}: {found}"


def test_large_files_are_read_into_one_buffer() -> None:
    """FileHandle returns autoreleased data, which one long job keeps until its end."""
    for file in (IOS / "Sources").rglob("*.swift"):
        assert not re.search(r"\bFileHandle\(", file.read_text()), file


def test_fakes_have_apples_names_and_none_of_the_tests() -> None:
    """The app type-checks against a fake with a wrong name, but doesn't build with Xcode."""
    declared = r"^\S.*?\b(?:class|struct|enum|protocol|actor)\s+(\w+)"
    fakes, tests = (
        {name for file in (IOS / folder).rglob("*.swift") for name in re.findall(declared, file.read_text(), re.M)}
        for folder in ("Fakes", "Tests")
    )
    assert fakes & tests == set()
    assert {"App", "Scene", "View", "WindowGroup"} <= fakes
