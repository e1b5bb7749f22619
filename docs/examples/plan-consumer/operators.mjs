// What the operators of a plan's steps compute, as the schema describes them. Sums are in double, results in float32.
//
// A tensor is { shape, memory, places }: element i, in row-major order, is memory[places[i]].

const PRIMITIVES = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
};

function expression(node) {
  switch (node.type) {
    case "Constant":
      return () => node.value;
    case "Operand":
      return (operands) => operands[node.index];
    case "Apply": {
      const primitive = PRIMITIVES[node.primitive];
      if (primitive === undefined) throw new Error(`primitive "${node.primitive}" is not computed here`);
      const [first, second] = node.arguments.map(expression);
      return (operands) => primitive(first(operands), second(operands));
    }
    default:
      throw new Error(`an expression is no "${node.type}"`);
  }
}

// Writes element i of the output: the epilogue of the result and of element i of a further input of equal shape.
function writer(op, further, output) {
  const finish = expression(op.epilogue);
  return (i, result) => {
    output.memory[output.places[i]] = finish([result, ...further.map((one) => one.memory[one.places[i]])]);
  };
}

// Calls visit(row * width + column, tap) for the elements of a plane that the window of output (y, x) sees.
function inWindow(op, [height, width], y, x, visit) {
  const [kernelRows, kernelColumns] = op.kernel;
  for (let ky = 0; ky < kernelRows; ++ky) {
    const row = y * op.strides[0] - op.pads[0] + ky * op.dilations[0];
    if (row < 0 || row >= height) continue;
    for (let kx = 0; kx < kernelColumns; ++kx) {
      const column = x * op.strides[1] - op.pads[1] + kx * op.dilations[1];
      if (column >= 0 && column < width) visit(row * width + column, ky * kernelColumns + kx);
    }
  }
}

function convolution(op, [input, ...further], [output], weights) {
  const [batch, channels, height, width] = input.shape;
  const [, outputs, rows, columns] = output.shape;
  const depth = channels / op.groups;
  const taps = op.kernel[0] * op.kernel[1];
  const write = writer(op, further, output);
  const [pixels, bias] = [height * width, outputs * depth * taps];
  for (let n = 0; n < batch; ++n)
    for (let y = 0; y < rows; ++y)
      for (let x = 0; x < columns; ++x) {
        const seen = [];
        inWindow(op, [height, width], y, x, (pixel, tap) => seen.push(pixel, tap));
        for (let o = 0; o < outputs; ++o) {
          const firstChannel = n * channels + Math.floor(o / (outputs / op.groups)) * depth;
          let sum = weights.memory[weights.places[bias + o]];
          for (let s = 0; s < seen.length; s += 2) {
            let from = firstChannel * pixels + seen[s];
            let weight = o * depth * taps + seen[s + 1];
            for (let i = 0; i < depth; ++i, from += pixels, weight += taps)
              sum += input.memory[input.places[from]] * weights.memory[weights.places[weight]];
          }
          write(((n * outputs + o) * rows + y) * columns + x, sum);
        }
      }
}

function fullyConnected(op, [input, ...further], [output], weights) {
  const [batch, depth] = input.shape;
  const outputs = output.shape[1];
  const write = writer(op, further, output);
  for (let n = 0; n < batch; ++n)
    for (let o = 0; o < outputs; ++o) {
      let sum = weights.memory[weights.places[outputs * depth + o]];
      for (let i = 0; i < depth; ++i)
        sum += input.memory[input.places[n * depth + i]] * weights.memory[weights.places[o * depth + i]];
      write(n * outputs + o, sum);
    }
}

function pool(op, [input, ...further], [output]) {
  const [batch, channels, height, width] = input.shape;
  const [, , rows, columns] = output.shape;
  const write = writer(op, further, output);
  for (let plane = 0; plane < batch * channels; ++plane)
    for (let y = 0; y < rows; ++y)
      for (let x = 0; x < columns; ++x) {
        let [sum, largest, count] = [0, -Infinity, 0];
        inWindow(op, [height, width], y, x, (pixel) => {
          const value = input.memory[input.places[plane * height * width + pixel]];
          sum += value;
          largest = Math.max(largest, value);
          ++count;
        });
        const divisor = op.include_padding ? op.kernel[0] * op.kernel[1] : count;
        write((plane * rows + y) * columns + x, op.kind === "max" ? largest : sum / divisor);
      }
}

// Relayout and Reshape: the same elements, in row-major order.
function move(op, [input], [output]) {
  output.places.forEach((place, i) => (output.memory[place] = input.memory[input.places[i]]));
}

function softmax(op, [input], [output]) {
  const size = input.shape[op.axis];
  const inner = input.shape.slice(op.axis + 1).reduce((a, b) => a * b, 1);
  for (let line = 0; line < input.places.length / size; ++line) {
    const at = (i) => (Math.floor(line / inner) * size + i) * inner + (line % inner);
    const values = Array.from({ length: size }, (_, i) => input.memory[input.places[at(i)]]);
    const largest = values.reduce((a, b) => Math.max(a, b));
    const exponentials = values.map((value) => Math.exp(value - largest));
    const sum = exponentials.reduce((a, b) => a + b);
    exponentials.forEach((value, i) => (output.memory[output.places[at(i)]] = value / sum));
  }
}

export const OPERATORS = {
  Conv2d: convolution,
  FullyConnected: fullyConnected,
  Pool2d: pool,
  Relayout: move,
  Reshape: move,
  Softmax: softmax,
};
