// Formulas of the schema of plans: whole numbers with + - * // % min( , ) and names.

const TOKEN = /\s*(?:(\d+)|([A-Za-z_]\w*)|(\/\/|[-+*%(),]))/y;

function tokens(text) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new Error(`formula "${text}": not understood from character ${at + 1} on`);
    found.push(match[1] !== undefined ? Number(match[1]) : match[2] ?? match[3]);
  }
  return found;
}

const OPERATIONS = {
  "+": (a, b) => (names) => a(names) + b(names),
  "-": (a, b) => (names) => a(names) - b(names),
  "*": (a, b) => (names) => a(names) * b(names),
  "//": (a, b) => (names) => Math.floor(a(names) / b(names)),
  "%": (a, b) => (names) => a(names) % b(names),
};
const SUMS = ["+", "-"];
const PRODUCTS = ["*", "//", "%"];

// A function from an object with the values of names to the formula's value.
function parse(text, nameOf) {
  const rest = tokens(text);

  function expect(token) {
    if (rest.shift() !== token) throw new Error(`formula "${text}": "${token}" is missing`);
  }
  function chain(operators, part) {
    let value = part();
    while (operators.includes(rest[0])) value = OPERATIONS[rest.shift()](value, part());
    return value;
  }
  function sum() {
    return chain(SUMS, () => chain(PRODUCTS, atom));
  }
  function atom() {
    const token = rest.shift();
    if (typeof token === "number") return () => token;
    if (token === "(") {
      const value = sum();
      expect(")");
      return value;
    }
    if (token === "min") {
      expect("(");
      const first = sum();
      expect(",");
      const second = sum();
      expect(")");
      return (names) => Math.min(first(names), second(names));
    }
    if (typeof token !== "string" || !/^\w+$/.test(token)) {
      throw new Error(`formula "${text}": a number or a name is missing`);
    }
    return nameOf(token);
  }

  const value = sum();
  if (rest.length > 0) throw new Error(`formula "${text}": "${rest[0]}" stands too much`);
  return value;
}

// The formula `name` of an object's `x-formulas`, whose names may be those of others of them.
export function compiled(formulas, name) {
  if (!(name in formulas)) throw new Error(`the schema has no formula "${name}" here`);
  return parse(formulas[name], (used) => (used in formulas ? compiled(formulas, used) : valueOf(used)));
}

function valueOf(name) {
  return (names) => {
    if (!(name in names)) throw new Error(`a formula asks for "${name}", which has no value here`);
    return names[name];
  };
}
