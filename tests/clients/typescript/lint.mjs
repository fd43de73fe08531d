// Redocly's recommended rules for the API's document: `node lint.mjs openapi.json`.

import { createConfig, lint } from "@redocly/openapi-core";

// Whether the gateway lives is asked without input; there is nothing that a client could get wrong.
const config = await createConfig({ extends: ["recommended"], rules: { "operation-4xx-response": "off" } });
const problems = await lint({ ref: process.argv[2], config });
for (const { ruleId, message, location } of problems) console.error(`${ruleId}: ${message} (${location[0]?.pointer})`);
process.exitCode = problems.length ? 1 : 0;
