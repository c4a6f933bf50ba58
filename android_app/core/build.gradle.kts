import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins { alias(libs.plugins.kotlin.jvm) }

kotlin { compilerOptions { jvmTarget.set(JvmTarget.JVM_1_8) } }

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

dependencies { testImplementation(libs.junit) }

tasks.test {
    systemProperty("golden", file("../../tests/golden").path)
    systemProperty("build", layout.buildDirectory.get().asFile.path)
}
