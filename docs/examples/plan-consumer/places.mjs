// Where elements lie in memory, as the schema's formulas say it of layouts and of algorithms' weights.

import { compiled } from "./formula.mjs";

const product = (sizes) => sizes.reduce((a, b) => a * b, 1);

export class Places {
  constructor(schema) {
    this.definitions = schema.$defs;
  }

  // Of a tensor in a layout: the place of each element, in row-major order, and the elements of memory.
  ofTensor(layout, shape) {
    const described = this.definitions.Layout.oneOf.find((one) => one.const === layout);
    if (described === undefined) throw new Error(`the schema has no layout "${layout}"`);
    const place = compiled(described["x-formulas"], "place");
    const [N, C] = shape.length > 1 ? shape : [1, product(shape)];
    const names = { N, C, P: product(shape.slice(2)), n: 0, c: 0, p: 0 };
    const places = new Int32Array(product(shape));
    let next = 0;
    for (names.n = 0; names.n < N; ++names.n)
      for (names.c = 0; names.c < C; ++names.c)
        for (names.p = 0; names.p < names.P; ++names.p) places[next++] = place(names);
    return checked(places, compiled(described["x-formulas"], "elements")(names), `layout ${layout}`);
  }

  // Of an algorithm's weights [O][I][Y][X], in row-major order, and of its biases behind them.
  ofWeights(choice, [O, I, Y = 1, X = 1], groups) {
    const formulas = this.definitions[choice.algorithm]?.["x-formulas"];
    if (formulas === undefined) throw new Error(`the schema does not say how ${choice.algorithm} lays weights out`);
    const weight = compiled(formulas, "weight");
    const bias = compiled(formulas, "bias");
    const names = { ...Object.fromEntries([...choice.tile, ...choice.split]), O, I, Y, X, G: groups };
    const places = new Int32Array(O * I * Y * X + O);
    let next = 0;
    for (names.o = 0; names.o < O; ++names.o)
      for (names.i = 0; names.i < I; ++names.i)
        for (names.y = 0; names.y < Y; ++names.y)
          for (names.x = 0; names.x < X; ++names.x) places[next++] = weight(names);
    for (names.o = 0; names.o < O; ++names.o) places[next++] = bias(names);
    return checked(places, compiled(formulas, "elements")(names), choice.algorithm);
  }
}

function checked(places, elements, what) {
  const taken = new Uint8Array(elements);
  for (const place of places) {
    if (!(place >= 0 && place < elements)) throw new Error(`${what}: place ${place} is outside ${elements} elements`);
    if (taken[place]++) throw new Error(`${what}: two elements have place ${place}`);
  }
  return { places, elements };
}
