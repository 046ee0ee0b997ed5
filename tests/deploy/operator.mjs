// Validates resources of the Prometheus operator, a JSON array on standard input; prints what is wrong with them.
import { readFileSync } from "node:fs";
import * as v1 from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
    try {
        new v1[resource.kind](resource).validate();
    } catch (error) {
        console.log(`${resource.kind}: ${error.message}`);
    }
}
