// Which fields of a payload a webhook gets: paths such as `$.order_id`, `$.customer.name`, `$."odd key"` and `$.items[*].price`.
import { FilterRefused, type FilterToken, tokensOf } from './filter-tokens.ts';
import type { JsonObject, JsonValue } from './payload.ts';

/** What is kept of a value: all of it, or of an object these keys, or of each item of an array this. */
interface Kept {
  isWhole: boolean;
  readonly keys: Map<string, Kept>;
  items: Kept | null;
}

/** Paths that were read. */
export interface FieldMask {
  /** Equal for masks that keep the same. */
  readonly id: string;
  readonly kept: Kept;
}

export interface MaskFault {
  /** Of the path. */
  readonly index: number;
  /** From 1, in the path. */
  readonly position: number;
  readonly message: string;
}

/** Why a path is none; null: all are in order. */
export function faultOfFields(fields: readonly string[]): MaskFault | null {
  for (const [index, path] of fields.entries()) {
    try {
      stepsOf(path);
    } catch (error) {
      if (!(error instanceof FilterRefused)) throw error;
      return { index, position: error.at + 1, message: error.message };
    }
  }
  return null;
}

/** Null for no paths: the whole payload. Throws FilterRefused for what `faultOfFields` names. */
export function fieldMask(fields: readonly string[]): FieldMask | null {
  if (fields.length === 0) return null;
  const kept = nothing();
  for (const path of fields) {
    let at = kept;
    for (const step of stepsOf(path)) at = within(at, step);
    at.isWhole = true;
  }
  return { id: JSON.stringify(fields.toSorted()), kept };
}

/**
 * What a mask keeps of a payload. Canonical like the payload itself: it is what `JSON.stringify(JSON.parse(text))` gives. Objects and arrays on the
 * way to a field stay, with what is kept in them; what is neither, and no field, is left out.
 * @param data the canonical text of a JSON object
 */
export function maskedPayload({ kept }: FieldMask, data: string): string {
  return JSON.stringify(pick(JSON.parse(data) as JsonObject, kept) ?? {});
}

function pick(value: JsonValue, kept: Kept): JsonValue | undefined {
  if (kept.isWhole) return value;
  if (Array.isArray(value)) {
    const { items } = kept;
    return items === null ? undefined : value.map((item) => pick(item, items)).filter((item) => item !== undefined);
  }
  if (typeof value !== 'object' || value === null || kept.keys.size === 0) return undefined;
  const picked: JsonObject = {};
  // In the order of the payload.
  for (const key of Object.keys(value)) {
    const inner = kept.keys.get(key);
    const item = inner === undefined ? undefined : pick(value[key] ?? null, inner);
    if (item !== undefined) picked[key] = item;
  }
  return picked;
}

type Step = { readonly key: string } | 'items';

function within(kept: Kept, step: Step): Kept {
  if (step === 'items') return (kept.items ??= nothing());
  let inner = kept.keys.get(step.key);
  if (inner === undefined) kept.keys.set(step.key, (inner = nothing()));
  return inner;
}

function nothing(): Kept {
  return { isWhole: false, keys: new Map(), items: null };
}

// The words are those of filters, so that one way to write a path serves both.
function stepsOf(path: string): readonly Step[] {
  const tokens = tokensOf(path);
  let next = 0;
  const take = (isMeant: (token: FilterToken) => boolean, message: string): FilterToken => {
    const token = tokens[next] ?? { kind: 'end', text: '', at: path.length };
    if (!isMeant(token)) throw new FilterRefused(token.at, message);
    next += 1;
    return token;
  };
  const sign = (text: string, message: string): FilterToken => take((token) => token.text === text, message);
  sign('$', 'a field is written $.name');
  const steps: Step[] = [];
  do {
    // A payload is an object.
    if (steps.length > 0 && tokens[next]?.text === '[') {
      next += 1;
      sign('*', 'the items of an array are written [*]');
      sign(']', 'the items of an array are written [*]');
      steps.push('items');
    } else {
      sign('.', steps.length === 0 ? 'a field is written $.name' : 'only .name or [*] can follow');
      const { kind, text } = take((token) => token.kind === 'name' || token.kind === 'text', 'the name of a field is missing');
      steps.push({ key: kind === 'text' ? (JSON.parse(text) as string) : text });
    }
  } while (tokens[next]?.kind !== 'end');
  return steps;
}
