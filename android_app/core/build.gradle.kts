import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins { alias(libs.plugins.kotlin.jvm) }

kotlin { compilerOptions { jvmTarget.set(JvmTarget.JVM_1_8) } }

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

dependencies { testImplementation(libs.junit) }

// The tests of the app use the fakes and fixtures of these tests.
val tests = configurations.create("tests")
artifacts.add(
    tests.name,
    tasks.register<Jar>("testJar") {
        archiveClassifier = "tests"
        from(sourceSets.test.get().output)
    },
)

tasks.test {
    systemProperty("golden", file("../../tests/golden").path)
    systemProperty("build", layout.buildDirectory.get().asFile.path)
}
