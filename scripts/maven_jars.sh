#!/usr/bin/env bash
# Fetch the jars that LOCK lists through Maven, check each one's SHA-256, and print them as a class path.
# For an Android library (group:artifact:version@aar) the class path has its classes, FILE.aar.jar next to FILE.aar.
# Each line of LOCK has a SHA-256 and group:artifact:version, with :classifier and @type if it isn't a plain jar.
# usage: scripts/maven_jars.sh LOCK
set -euo pipefail
lock=$1
jars=${XDG_CACHE_HOME:-$HOME/.cache}/mobilevlm-kit/android/jars
mkdir -p "$jars"

wanted() { grep -v '^#' "$lock"; }
type_of() { case $1 in *@*) echo "${1#*@}" ;; *) echo jar ;; esac; }
file_of() {
  IFS=: read -r _ artifact version classifier <<<"${1%@*}"
  echo "$jars/$artifact-$version${classifier:+-$classifier}.$(type_of "$1")"
}
is_good() { [ -f "$2" ] && echo "$1  $2" | sha256sum --check --status; }

missing=()
while read -r sha256 coordinates; do
  is_good "$sha256" "$(file_of "$coordinates")" || missing+=("$coordinates")
done < <(wanted)

if [ ${#missing[@]} -gt 0 ]; then
  echo "fetching ${#missing[@]} jars of $lock through Maven (once)" >&2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  {
    echo '<project><modelVersion>4.0.0</modelVersion><groupId>kit</groupId><artifactId>jars</artifactId><version>1</version>'
    echo '<dependencies>'
    for coordinates in "${missing[@]}"; do
      IFS=: read -r group artifact version classifier <<<"${coordinates%@*}"
      echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version>"
      echo "<type>$(type_of "$coordinates")</type>${classifier:+<classifier>$classifier</classifier>}"
      echo '<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>'
    done
    echo '</dependencies></project>'
  } >"$work/pom.xml"
  mvn --quiet --batch-mode --file "$work/pom.xml" -DoutputDirectory="$work/jars" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies >&2
  mv -f "$work"/jars/* "$jars/"
fi

class_path=()
while read -r sha256 coordinates; do
  file=$(file_of "$coordinates")
  if ! is_good "$sha256" "$file"; then
    echo "$file: got SHA-256 $(sha256sum "$file" | cut -c-16)…, expected ${sha256:0:16}…, as in $lock" >&2
    rm -f "$file" "$file.jar"
    exit 1
  fi
  if [ "$(type_of "$coordinates")" = aar ]; then
    if [ ! -f "$file.jar" ]; then
      unpacked=$(mktemp -d)
      (cd "$unpacked" && jar xf "$file" classes.jar && mv classes.jar "$file.jar")
      rm -rf "$unpacked"
    fi
    file=$file.jar
  fi
  class_path+=("$file")
done < <(wanted)
(IFS=:; echo "${class_path[*]}")
