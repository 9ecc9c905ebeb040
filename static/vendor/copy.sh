#!/bin/sh
# copy.sh FOLDER: leave in FOLDER what the console takes from the registry's packages, as package-lock.json names them.
# With the folder it stands in, it brings that up to date (`make assets`); a test compares the two.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
into=$(CDPATH= cd -- "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$work/"
(cd "$work" && npm ci --silent --no-progress >/dev/null)
packages=$work/node_modules

cp "$packages/htmx.org/dist/htmx.min.js" "$packages/htmx.org/dist/ext/hx-csp.min.js" "$into/"
cp "$packages/uplot/dist/uPlot.iife.min.js" "$packages/uplot/dist/uPlot.min.css" "$into/"
cp "$packages/htmx.org/LICENSE" "$into/LICENSE.htmx"
cp "$packages/uplot/LICENSE" "$into/LICENSE.uplot"
cp "$packages/lucide-static/LICENSE" "$into/LICENSE.lucide"

# One file with a symbol for each icon. Lucide's own attributes stay on the paths; size and stroke are the stylesheet's.
{
    echo '<svg xmlns="http://www.w3.org/2000/svg">'
    while read -r name; do
        printf '<symbol id="%s" viewBox="0 0 24 24">' "$name"
        sed -e '/^<!--/d' -e '/^<svg/,/^>/d' -e '/^  *>$/d' -e '/^<\/svg>/d' "$packages/lucide-static/icons/$name.svg" |
            tr -d '\n' | sed -e 's/  */ /g' -e 's/> </></g'
        echo '</symbol>'
    done < "$here/icons.txt"
    echo '</svg>'
} > "$into/icons.svg"
