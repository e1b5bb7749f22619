// The files of Safetensors and of raw float32 numbers.

import { readFileSync } from "node:fs";

function floats(buffer) {
  const values = new Float32Array(buffer.length / 4);
  for (let i = 0; i < values.length; ++i) values[i] = buffer.readFloatLE(4 * i);
  return values;
}

export function readFloats(path) {
  return floats(readFileSync(path));
}

// Tensors by name: { shape, values }, float32 alone.
export function readSafetensors(path) {
  const content = readFileSync(path);
  const data = 8 + Number(content.readBigUInt64LE(0));
  const head = JSON.parse(content.toString("utf8", 8, data));
  const found = new Map();
  for (const [name, { dtype, shape, data_offsets: [first, end] }] of Object.entries(head)) {
    if (dtype !== "F32") throw new Error(`weight "${name}" is of type ${dtype}: only float32 is computed here`);
    found.set(name, { shape, values: floats(content.subarray(data + first, data + end)) });
  }
  return found;
}
