// Which call a page shows, as lines for a shell. The token is never in them: `$TOKEN` stands for it.

export interface PageCommands {
  /** Null: a stream, which curl does not read. */
  readonly curl: string | null;
  /** Null: no command does this. */
  readonly cli: string | null;
}

interface Place {
  readonly path: string;
  readonly query: string;
}

interface PageCall {
  readonly pattern: RegExp;
  /** The path at the API; null where there is only a command. */
  readonly api: ((id: string, query: URLSearchParams, since: () => Date) => string) | null;
  readonly cli: ((id: string, query: URLSearchParams) => string) | null;
}

const CALLS: readonly PageCall[] = [
  { pattern: /^\/$/, api: (_id, _query, since) => `/api/v1/webhooks/overview?since=${since().toISOString()}`, cli: null },
  { pattern: /^\/live$/, api: null, cli: (_id, query) => `watch${flags(query)}` },
  { pattern: /^\/webhooks$/, api: (_id, query) => withFilters('/api/v1/webhooks', query), cli: null },
  { pattern: /^\/webhooks\/(webhook_[^/]+)$/, api: (id) => `/api/v1/webhooks/${id}`, cli: (id) => `history ${id}` },
  { pattern: /^\/deliveries$/, api: (_id, query) => withFilters('/api/v1/webhooks/deliveries', query), cli: null },
  { pattern: /^\/deliveries\/([^/]+)$/, api: (id) => `/api/v1/webhooks/deliveries/${id}`, cli: (id) => `explain ${id}` },
  { pattern: /^\/event-types$/, api: () => '/api/v1/webhooks/events', cli: () => 'event-types' },
];

/** Null: the page shows nothing of the API's. */
export function pageCommands(place: Place, origin: string, since: () => Date): PageCommands | null {
  const query = new URLSearchParams(place.query);
  for (const { pattern, api, cli } of CALLS) {
    const match = pattern.exec(place.path);
    if (match === null) continue;
    const id = match[1] ?? '';
    return {
      curl: api === null ? null : `curl -sS -H "Authorization: Bearer $TOKEN" ${quoted(origin + api(id, query, since))}`,
      cli: cli === null ? null : `homechef-webhooks ${cli(id, query)} --url ${quoted(origin)} --token "$TOKEN"`,
    };
  }
  return null;
}

/** The filters in the address bar have the names that REST has. */
function withFilters(path: string, query: URLSearchParams): string {
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}

function flags(query: URLSearchParams): string {
  const names = { webhook_id: '--webhook', event_type: '--event', status: '--status' };
  return Object.entries(names)
    .flatMap(([name, flag]) => query.getAll(name).map((value) => ` ${flag} ${quoted(value)}`))
    .join('');
}

/** Between single quotes a shell changes nothing; a quote itself ends them, is escaped, and begins them again. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
