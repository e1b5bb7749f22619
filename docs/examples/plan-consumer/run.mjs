// Computes a plan from its file, its weights and the schema alone:
//
//     node run.mjs --plan plan.json --schema plan.schema.json --weights weights.safetensors --input NAME=input.bin \
//         --out directory [--places places.json]
//
// Inputs and outputs are files of row-major little-endian float32 numbers. What a step reads and writes lies where the
// schema's formulas put it for the layouts of the plan. `places.json` holds a hash of these places for each step.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { readFloats, readSafetensors } from "./files.mjs";
import { OPERATORS } from "./operators.mjs";
import { Places } from "./places.mjs";

const { values: given } = parseArgs({
  options: {
    plan: { type: "string" },
    schema: { type: "string" },
    weights: { type: "string" },
    input: { type: "string", multiple: true },
    out: { type: "string" },
    places: { type: "string" },
  },
});

const hash = ({ places }) => createHash("sha256").update(new Uint8Array(places.buffer)).digest("hex");

class Run {
  constructor(schema, weights) {
    this.places = new Places(schema);
    this.weights = weights;
    this.buffers = new Map();
    this.told = [];
  }

  // A tensor in a layout, which is a buffer of its own.
  write(name, layout, shape) {
    const { places, elements } = this.places.ofTensor(layout, shape);
    const buffer = { shape, places, memory: new Float32Array(elements) };
    this.buffers.set(`${name}@${layout}`, buffer);
    return buffer;
  }

  read(name, layout) {
    const buffer = this.buffers.get(`${name}@${layout}`);
    if (buffer === undefined) throw new Error(`tensor "${name}" was not written in layout ${layout}`);
    return buffer;
  }

  // Weights and biases of a step, laid out for its algorithm.
  packed({ name, spec, choice }) {
    if (spec.weights.length === 0) return undefined;
    const { places, elements } = this.places.ofWeights(choice, spec.weights[0].shape, spec.op.groups ?? 1);
    const memory = new Float32Array(elements);
    let next = 0;
    for (let k = 0; k < spec.weights.length; ++k)
      for (const value of this.weights.get(`${name}/${k}`).values) memory[places[next++]] = value;
    return { places, memory };
  }

  step(step) {
    const compute = OPERATORS[step.spec.op.type];
    if (compute === undefined || step.in_place) throw new Error(`step "${step.name}": ${step.summary} is not computed here`);
    const { input_layouts: from, output_layouts: to } = step.choice;
    const inputs = step.inputs.map((name, i) => this.read(name, from[i]));
    const outputs = step.outputs.map((name, i) => this.write(name, to[i], step.spec.outputs[i].shape));
    const weights = this.packed(step);
    compute(step.spec.op, inputs, outputs, weights);
    const places = { inputs: inputs.map(hash), outputs: outputs.map(hash), weights: weights ? hash(weights) : null };
    this.told.push({ step: step.name, ...places });
  }
}

const plan = JSON.parse(readFileSync(given.plan, "utf8"));
const schema = JSON.parse(readFileSync(given.schema, "utf8"));
if (plan.schema_version !== schema.properties.schema_version.const) {
  throw new Error(`the plan is of version ${plan.schema_version}: explore plan migrate writes it anew`);
}
const run = new Run(schema, readSafetensors(given.weights));
const files = Object.fromEntries(given.input.map((text) => text.split(/=(.*)/s).slice(0, 2)));
for (const { name, shape } of plan.inputs) {
  const input = run.write(name, "nchw", shape);
  readFloats(files[name]).forEach((value, i) => (input.memory[input.places[i]] = value));
}
for (const step of plan.steps) run.step(step);
mkdirSync(given.out, { recursive: true });
plan.outputs.forEach(({ name }, i) => {
  const { places, memory } = run.read(name, "nchw");
  const row = Buffer.alloc(4 * places.length);
  places.forEach((place, k) => row.writeFloatLE(memory[place], 4 * k));
  writeFileSync(join(given.out, `output${i}.bin`), row);
});
if (given.places !== undefined) writeFileSync(given.places, JSON.stringify(run.told));
