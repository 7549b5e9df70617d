// A webhook's filter: a condition on payloads, written as an SQL/JSON path. What PostgreSQL would take and this file does not is refused because its cost
// has no bound that can be read from it, or because it can fail.
import { FilterRefused, type FilterToken, tokensOf } from './filter-tokens.ts';

/** Characters. The longest that was thought of has 300; each is stored in a webhook and evaluated for each of its events. */
export const MAX_FILTER_LENGTH = 1000;
/** Comparisons, calculations and questions in one filter. Each may go once through the whole payload: 20 to 40 ms through a MiB of short numbers. */
const MAX_OPERATIONS = 20;
/** Parentheses within each other: more than a filter needs, and far from what overflows a stack. */
const MAX_NESTING = 32;
/** A payload's list has fewer items than this has digits for. */
const MAX_INDEX_DIGITS = 7;

export interface FilterFault {
  /** The character at fault, counted from 1. */
  readonly position: number;
  readonly message: string;
}

/** What is wrong with a filter; null: nothing. PostgreSQL takes every filter that passes, and evaluates it in time that grows with the payload. */
export function faultOfFilter(filter: string): FilterFault | null {
  try {
    if (filter.length > MAX_FILTER_LENGTH)
      throw new FilterRefused(MAX_FILTER_LENGTH, `a filter has ${MAX_FILTER_LENGTH} characters at most`);
    new FilterParser(tokensOf(filter)).parse();
    return null;
  } catch (error) {
    if (!(error instanceof FilterRefused)) throw error;
    // Characters as people count them, not units of UTF-16.
    return { position: Array.from(filter.slice(0, error.at)).length + 1, message: error.message };
  }
}

/** What a part of a filter comes to. */
interface Part {
  readonly at: number;
  readonly kind: 'condition' | 'items';
  /** Whether it may come to more than one item. Two such parts are never compared: that takes time like the product of their lengths. */
  readonly isList: boolean;
  /** Whether it begins at the payload itself. */
  readonly isOfRoot: boolean;
}

const COMPARISONS: ReadonlySet<string> = new Set(['==', '!=', '<>', '<', '<=', '>', '>=']);
// Each makes one item of one item.
const METHODS = ['type', 'size', 'abs', 'floor', 'ceiling', 'double'];
const REFUSED_METHODS: Readonly<Record<string, string>> = {
  keyvalue: 'keyvalue() is not supported: its work has no bound that can be read from the filter',
  datetime: 'datetime() is not supported: times in one form, such as 2026-11-28T12:00:00Z, compare as texts',
};
const REFUSED_WORDS: Readonly<Record<string, string>> = {
  and: 'and is written &&',
  or: 'or is written ||',
  not: 'not is written !(…)',
  in: 'write one comparison for each value, with || between them',
  like: 'write starts with "…"',
};

/** Rules are methods, from what binds least to what binds most. */
class FilterParser {
  readonly #tokens: readonly FilterToken[];
  #index = 0;
  #operations = 0;
  #nesting = 0;
  #isStrict = false;
  /** How many conditions of lists, `? (…)`, are around the place. */
  #depth = 0;

  constructor(tokens: readonly FilterToken[]) {
    this.#tokens = tokens;
  }

  parse(): void {
    if (this.#takeWord('strict')) this.#isStrict = true;
    else this.#takeWord('lax');
    if (this.#isAtEnd()) throw this.#refused('a condition is missing, as in $.total_amount > 50');
    const whole = this.#or();
    if (!this.#isAtEnd()) throw this.#unexpected('the end of the filter, && or ||');
    if (whole.kind !== 'condition')
      throw new FilterRefused(
        whole.at,
        'this is neither true nor false: compare it, as in $.paid == true, or ask exists($.paid)',
      );
  }

  #or(): Part {
    this.#nesting += 1;
    if (this.#nesting > MAX_NESTING) throw this.#refused(`a filter has ${MAX_NESTING} levels of parentheses at most`);
    const part = this.#joined('||', () => this.#and());
    this.#nesting -= 1;
    return part;
  }

  #and(): Part {
    return this.#joined('&&', () => this.#not());
  }

  #joined(sign: string, part: () => Part): Part {
    let left = part();
    while (this.#next.text === sign) {
      requireCondition(left, sign);
      this.#index += 1;
      const right = part();
      requireCondition(right, sign);
      left = condition(left.at);
    }
    return left;
  }

  #not(): Part {
    const { at } = this.#next;
    if (!this.#take('!')) return this.#comparison();
    if (this.#next.text !== '(' && !this.#isWord('exists'))
      throw this.#refused('what ! denies stands in parentheses: !($.city == "Berlin")');
    const denied = this.#primary();
    requireCondition(denied, '!');
    return condition(at);
  }

  #comparison(): Part {
    const left = this.#sum();
    const { text, at } = this.#next;
    if (this.#isWord('like_regex'))
      throw this.#refused('like_regex is not supported: the time of a regular expression may grow exponentially with a text');
    if (this.#takeWord('starts')) {
      requireItems(left, 'starts with');
      this.#count(at);
      if (!this.#takeWord('with') || this.#next.kind !== 'text') throw this.#unexpected('a text after "starts with"');
      this.#index += 1;
      return condition(left.at);
    }
    if (!COMPARISONS.has(text)) return left;
    requireItems(left, text);
    this.#count(at);
    this.#index += 1;
    const right = this.#sum();
    requireItems(right, text);
    if (left.isList && right.isList) throw new FilterRefused(at, this.#tooManyPairs());
    return condition(left.at);
  }

  #sum(): Part {
    return this.#calculated(['+', '-'], () => this.#product());
  }

  #product(): Part {
    return this.#calculated(['*', '/', '%'], () => this.#signed());
  }

  #calculated(signs: readonly string[], part: () => Part): Part {
    let left = part();
    while (this.#next.kind === 'sign' && signs.includes(this.#next.text)) {
      const { text, at } = this.#next;
      requireItems(left, text);
      this.#count(at);
      this.#index += 1;
      requireItems(part(), text);
      // Both sides must be single numbers, else the comparison around it is neither true nor false.
      left = items(left.at, false);
    }
    return left;
  }

  #signed(): Part {
    const { at, text } = this.#next;
    if (!this.#take('-') && !this.#take('+')) return this.#primary();
    this.#count(at);
    const part = this.#signed();
    requireItems(part, text);
    return { ...part, at };
  }

  #primary(): Part {
    const token = this.#next;
    if (token.kind === 'text' || token.kind === 'number' || this.#isLiteral()) {
      this.#index += 1;
      return items(token.at, false);
    }
    if (this.#isWord('exists')) return this.#exists();
    if (this.#take('(')) return this.#parenthesised(token.at);
    if (this.#take('$')) return this.#path(this.#root(token));
    if (this.#take('@')) {
      if (this.#depth === 0)
        throw new FilterRefused(token.at, '@ is an item of a list, inside of ? (…) alone; the payload is $');
      return this.#path(items(token.at, !this.#isStrict));
    }
    throw this.#unexpected('a path such as $.city, a value, or a parenthesis');
  }

  #exists(): Part {
    const { at } = this.#next;
    this.#count(at);
    this.#index += 1;
    this.#need('(');
    requireItems(this.#or(), 'exists');
    this.#need(')');
    return condition(at);
  }

  #parenthesised(at: number): Part {
    const inner = { ...this.#or(), at };
    this.#need(')');
    if (inner.kind === 'items') return this.#path(inner);
    if (this.#takeWord('is') && !this.#takeWord('unknown')) throw this.#unexpected('unknown');
    return inner;
  }

  #root({ at }: FilterToken): Part {
    const { kind, at: nextAt } = this.#next;
    const isAttached = nextAt === at + 1;
    if (isAttached && (kind === 'name' || kind === 'number' || kind === 'text'))
      throw new FilterRefused(at, 'a filter has no variables: a field of the payload is written $.city');
    // The payload itself is an object, hence one item.
    return { ...items(at, false), isOfRoot: true };
  }

  /** Fields, items, methods and conditions behind a beginning. */
  #path(start: Part): Part {
    let { isList } = start;
    for (;;) {
      if (this.#take('.')) isList = this.#field(isList);
      else if (this.#take('[')) isList = this.#items(isList);
      else if (this.#next.text === '?') this.#condition();
      else break;
    }
    if (start.isOfRoot && isList && this.#depth > 0) {
      const message = 'the payload would be gone through again for each item of a list';
      throw new FilterRefused(
        start.at,
        this.#isStrict ? message : `${message}: begin the filter with "strict", in which a path without [*] and .* is one item`,
      );
    }
    return { ...start, isList };
  }

  #field(isList: boolean): boolean {
    const { kind, text } = this.#next;
    if (text === '**') throw this.#refused('.** is not supported: name the fields on the way');
    if (this.#take('*')) return true;
    if (kind !== 'name' && kind !== 'text')
      throw this.#unexpected('the name of a field, in double quotes when it has other characters than letters, digits and _');
    this.#index += 1;
    if (kind === 'text' || this.#next.text !== '(') return isList || !this.#isStrict;
    const method = text.toLowerCase();
    if (!METHODS.includes(method)) {
      this.#index -= 1;
      throw this.#refused(
        REFUSED_METHODS[method] ?? `${text}() is not supported; ${METHODS.map((name) => `${name}()`).join(', ')} are`,
      );
    }
    this.#need('(');
    this.#need(')');
    return isList;
  }

  #items(isList: boolean): boolean {
    if (this.#take('*')) {
      this.#need(']');
      return true;
    }
    this.#position();
    const isRange = this.#takeWord('to');
    if (isRange) this.#position();
    if (this.#next.text === ',')
      throw this.#refused('several items by number are not supported: write a range, [0 to 3], or one comparison for each');
    this.#need(']');
    return isList || isRange || !this.#isStrict;
  }

  #position(): void {
    if (this.#takeWord('last')) {
      if (this.#take('-')) this.#number();
      return;
    }
    this.#number();
  }

  #number(): void {
    const { kind, text } = this.#next;
    const isWhole = kind === 'number' && /^[0-9]+$/.test(text) && text.length <= MAX_INDEX_DIGITS;
    if (!isWhole) throw this.#unexpected('the number of an item, counted from 0, or last');
    this.#index += 1;
  }

  #condition(): void {
    this.#index += 1;
    this.#need('(');
    this.#depth += 1;
    const inner = this.#or();
    this.#depth -= 1;
    requireCondition(inner, '?');
    this.#need(')');
  }

  get #next(): FilterToken {
    return this.#tokens[this.#index] as FilterToken;
  }

  #isAtEnd(): boolean {
    return this.#next.kind === 'end';
  }

  // Words of the language are the same in upper case, but for those of JSON.
  #isWord(word: string): boolean {
    return this.#next.kind === 'name' && this.#next.text.toLowerCase() === word;
  }

  #isLiteral(): boolean {
    return this.#next.kind === 'name' && ['true', 'false', 'null'].includes(this.#next.text);
  }

  #takeWord(word: string): boolean {
    const is = this.#isWord(word);
    if (is) this.#index += 1;
    return is;
  }

  #take(sign: string): boolean {
    const is = this.#next.kind === 'sign' && this.#next.text === sign;
    if (is) this.#index += 1;
    return is;
  }

  #need(sign: string): void {
    if (!this.#take(sign)) throw this.#unexpected(`"${sign}"`);
  }

  #count(at: number): void {
    this.#operations += 1;
    if (this.#operations > MAX_OPERATIONS)
      throw new FilterRefused(at, `a filter has ${MAX_OPERATIONS} comparisons and calculations at most`);
  }

  #tooManyPairs(): string {
    const message = 'each side may be a list here, and each item of one would be compared with each of the other';
    return this.#isStrict
      ? message
      : `${message}: begin the filter with "strict", in which a path without [*] and .* is one item`;
  }

  #refused(message: string): FilterRefused {
    return new FilterRefused(this.#next.at, message);
  }

  #unexpected(expected: string): FilterRefused {
    const { kind, text } = this.#next;
    const known = kind === 'name' ? REFUSED_WORDS[text.toLowerCase()] : undefined;
    return this.#refused(known ?? `${kind === 'end' ? 'the filter ends' : `"${text}" stands`} where ${expected} is expected`);
  }
}

function condition(at: number): Part {
  return { at, kind: 'condition', isList: false, isOfRoot: false };
}

function items(at: number, isList: boolean): Part {
  return { at, kind: 'items', isList, isOfRoot: false };
}

function requireCondition(part: Part, sign: string): void {
  if (part.kind !== 'condition')
    throw new FilterRefused(part.at, `${sign} needs conditions, and this is none: compare it, as in $.paid == true`);
}

function requireItems(part: Part, sign: string): void {
  if (part.kind !== 'items') throw new FilterRefused(part.at, `${sign} needs a path or a value, and this is a condition`);
}
