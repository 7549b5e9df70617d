// The words of a filter: names, texts, numbers and signs of an SQL/JSON path, each with its place.

export interface FilterToken {
  readonly kind: 'name' | 'text' | 'number' | 'sign' | 'end';
  /** As written. */
  readonly text: string;
  /** Characters before it. */
  readonly at: number;
}

/** Why a filter is refused. */
export class FilterRefused extends Error {
  /** Characters before the place that is at fault. */
  readonly at: number;

  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

const BLANK = /[ \t\r\n]+/y;
const NAME = /[\p{L}_][\p{L}\p{N}\p{M}_]*/uy;
const TEXT = /"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy;
// An exponent of more digits is beyond every number of a payload.
const NUMBER = /(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?(?![\p{L}\p{N}_.])/uy;
const SIGN = /==|!=|<>|<=|>=|&&|\|\||\*\*|[<>!()[\].*?@$+\-/%,{}]/y;

/** What people write who know other languages, and what it is here. */
const ELSEWHERE: readonly [RegExp, string][] = [
  [/'/y, 'texts stand in double quotes: "Berlin"'],
  [/=/y, 'equality is written =='],
  [/&/y, 'and is written &&'],
  [/\|/y, 'or is written ||'],
  [/"/y, 'this text is not closed, or holds a character that has to be escaped as in JSON'],
  [/[0-9]/y, 'numbers are written as in JSON: 12.5; a name that begins with a digit stands in double quotes: $."1st"'],
];

/** Throws FilterRefused. The last token is of kind `end`. */
export function tokensOf(filter: string): FilterToken[] {
  const tokens: FilterToken[] = [];
  let at = 0;
  const read = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(filter)?.[0];
  };
  while (at < filter.length) {
    const blank = read(BLANK);
    if (blank !== undefined) {
      at += blank.length;
      continue;
    }
    const token = tokenAt(read, at);
    tokens.push(token);
    at += token.text.length;
  }
  tokens.push({ kind: 'end', text: '', at });
  return tokens;
}

function tokenAt(read: (pattern: RegExp) => string | undefined, at: number): FilterToken {
  const name = read(NAME);
  if (name !== undefined) return { kind: 'name', text: name, at };
  const text = read(TEXT);
  if (text !== undefined) {
    checkText(text, at);
    return { kind: 'text', text, at };
  }
  const number = read(NUMBER);
  if (number !== undefined) return { kind: 'number', text: number, at };
  const sign = read(SIGN);
  if (sign !== undefined) return { kind: 'sign', text: sign, at };
  const known = ELSEWHERE.find(([pattern]) => read(pattern) !== undefined);
  throw new FilterRefused(at, known?.[1] ?? 'this character has no meaning here');
}

function checkText(text: string, at: number): void {
  const value = JSON.parse(text) as string;
  if (value.includes('\u0000'))
    throw new FilterRefused(at, 'this text holds the character \\u0000, which no payload that a filter sees can hold');
  if (!value.isWellFormed()) throw new FilterRefused(at, 'this text holds half of a surrogate pair');
}
