#!/usr/bin/env bash
# Type-check the SwiftUI views and their phone code against fakes of Apple's frameworks. Nothing is linked or run.
# usage: in ios_app, with Swift 6, after a build: ../scripts/check_ios_views.sh
set -euo pipefail
modules=.build/views
mkdir -p $modules
flags=(-swift-version 6 -parse-as-library -warnings-as-errors -I $modules -I .build/debug/Modules -Xcc "-fmodule-map-file=$PWD/Sources/CZlib/module.modulemap")
# In dependency order.
for module in CoreGraphics ImageIO UIKit UniformTypeIdentifiers SwiftUI AVKit PhotosUI AVFoundation Accessibility AppIntents; do
  swiftc -emit-module -module-name $module -emit-module-path $modules/$module.swiftmodule "${flags[@]}" Fakes/$module/*.swift
done
# It needs Apple's Foundation throughout.
phone=App/PhoneSystem.swift
swiftc -frontend -parse -swift-version 6 $phone
# shellcheck disable=SC2046 # names without spaces
swiftc -typecheck -module-name MobileVLM "${flags[@]}" Fakes/PhoneSystem.swift $(ls App/*.swift | grep -vx $phone)
