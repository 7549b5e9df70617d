// Pages of a list: by number while that is cheap, by token as deep as one likes.
import { invalid } from '../domain/errors.ts';
import { type IdKind, isId } from '../domain/ids.ts';

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;
/** Totals are counted up to here: an exact count of a million rows costs more than it is worth. */
export const MAX_COUNTED = 10_000;
const TOKEN_VERSION = 'v1';

export interface PageRequest {
  /** From 1 on; 0 means 1. */
  readonly page: number;
  /** 0 means the default. */
  readonly limit: number;
  /** Wins over `page`. */
  readonly pageToken: string;
}

export interface PageBounds {
  /** 0 when a token was given. */
  readonly page: number;
  readonly limit: number;
  readonly offset: number;
  /** The last id of the page before; null: from the start. */
  readonly lastId: string | null;
}

export interface PageOf<T> {
  readonly items: readonly T[];
  readonly page: number;
  readonly limit: number;
  readonly total: number;
  readonly totalIsExact: boolean;
  /** Empty on the last page. A page that looked at as much as it may has one, however few it found. */
  readonly nextPageToken: string;
}

/** @param key what the list is ordered by: ids of a kind, or what such a key looks like */
export function pageBounds(key: IdKind | ((text: string) => boolean), request: PageRequest): PageBounds {
  const limit = request.limit === 0 ? DEFAULT_LIMIT : request.limit;
  if (!(limit >= 1 && limit <= MAX_LIMIT)) throw invalid('field_invalid', 'limit', `must be from 1 to ${MAX_LIMIT}`);
  if (request.pageToken !== '') return { page: 0, limit, offset: 0, lastId: openToken(key, request.pageToken) };
  const page = request.page === 0 ? 1 : request.page;
  if (page < 1) throw invalid('field_invalid', 'page', 'must be 1 or more');
  return { page, limit, offset: (page - 1) * limit, lastId: null };
}

/** How a page was found. */
export interface Finding {
  readonly counted: number;
  /** False: there may be more than was counted, further down. */
  readonly countedAll: boolean;
  /** The last id that was looked at; null: all of them were. */
  readonly lookedTo: string | null;
}

/** `rows` holds one more than the limit when there is a next page. */
export function toPage<T extends { readonly id: string }>(bounds: PageBounds, rows: readonly T[], found: Finding): PageOf<T> {
  const items = rows.slice(0, bounds.limit);
  const last = items.at(-1);
  return {
    items,
    page: bounds.page,
    limit: bounds.limit,
    total: Math.min(found.counted, MAX_COUNTED),
    totalIsExact: found.countedAll && found.counted <= MAX_COUNTED,
    nextPageToken: makeToken(rows.length > bounds.limit && last !== undefined ? last.id : found.lookedTo),
  };
}

// A token only says where to read on; what may be read is decided anew for the caller that brings it, so it needs no signature.
function makeToken(id: string | null): string {
  if (id === null) return '';
  return Buffer.from(`${TOKEN_VERSION}:${id}`).toString('base64url');
}

function openToken(key: IdKind | ((text: string) => boolean), token: string): string {
  const text = Buffer.from(token, 'base64url').toString('latin1');
  const id = text.slice(TOKEN_VERSION.length + 1);
  const isKey = typeof key === 'string' ? isId(key, id) : key(id);
  if (!text.startsWith(`${TOKEN_VERSION}:`) || !isKey || makeToken(id) !== token) {
    throw invalid('page_token_invalid', 'page_token', 'was not made by this service for this list');
  }
  return id;
}
