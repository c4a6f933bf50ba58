import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.mobilevlmkit.app"
    compileSdk = 35

    defaultConfig {
        applicationId = "org.mobilevlmkit.app"
        minSdk = 26
        targetSdk = 35
        versionCode = 1
        versionName = "0.2.0"
        testInstrumentationRunner = "org.mobilevlmkit.app.DeviceCheck"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }
    buildTypes {
        release {
            isMinifyEnabled = true
            isShrinkResources = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "proguard-rules.pro")
        }
    }
    testOptions.unitTests {
        isIncludeAndroidResources = true
        all {
            it.systemProperty("golden", file("../../tests/golden").path)
            it.systemProperty("screenshots", layout.buildDirectory.dir("screenshots").get().asFile.path)
            it.maxHeapSize = "2g"
            it.jvmArgs("--add-opens", "java.base/java.io=ALL-UNNAMED")
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

kotlin { compilerOptions { jvmTarget.set(JvmTarget.JVM_1_8) } }

dependencies {
    implementation(project(":core"))
    implementation(libs.coroutines)
    implementation(libs.executorch)
    testImplementation(project(path = ":core", configuration = "tests"))
    testImplementation(libs.junit)
    testImplementation(libs.robolectric)
}
