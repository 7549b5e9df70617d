// What is wrong with Redis, as a sentence for an operator: the server's error, and what to change.

/** By what the server's error begins with; the first one that fits. */
const REFUSALS: readonly (readonly [pattern: RegExp, sentence: string])[] = [
  [/^MISCONF/, 'Redis refuses writes because it could not save to its disk (MISCONF)'],
  [/^OOM/, 'Redis refuses writes because it is full (OOM): raise its maxmemory'],
  [/READONLY/, 'Redis refuses writes because it is a replica (READONLY)'],
  [/^NOREPLICAS/, 'Redis refuses writes because too few replicas follow it (NOREPLICAS)'],
  [/^LOADING/, 'Redis is still loading its data (LOADING)'],
  [/^(?:MASTERDOWN|CLUSTERDOWN)/, 'Redis has no master that serves this part of its keys'],
  [/^WRONGPASS/, 'Redis refuses REDIS_USERNAME and REDIS_PASSWORD (WRONGPASS)'],
  [/^NOAUTH/, 'Redis wants a password: set REDIS_PASSWORD (NOAUTH)'],
  [/without any password configured|no password is set/, 'Redis has no password for this user: unset REDIS_PASSWORD'],
  [/DB index is out of range/, 'Redis has no database of the number in REDIS_DB'],
  [
    /keys (?:used as arguments|mentioned)|access a key/,
    'Redis lets its user reach too few keys: grant ~<REDIS_KEY_PREFIX>{wh:* and ~<REDIS_KEY_PREFIX>wh-*',
  ],
  [/channels used as arguments|access a channel/, 'Redis lets its user reach too few channels: grant &<REDIS_KEY_PREFIX>wh:*'],
  [/^Command timed out/, 'Redis does not answer in time'],
  // The client's words for one state; why it is in it, the connection itself says.
  [/^Stream isn't writeable|^Connection is closed|connection close$|max retries per request/, 'Redis cannot be reached'],
];

/** By the beginning of the last sentinel's reply; the first one that fits. */
const SENTINEL_REFUSALS: readonly (readonly [pattern: RegExp, sentence: string])[] = [
  [/^WRONGPASS/, 'The sentinels of REDIS_SENTINELS refuse REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD (WRONGPASS)'],
  [/^NOAUTH/, 'The sentinels of REDIS_SENTINELS want a password: set REDIS_SENTINEL_PASSWORD (NOAUTH)'],
  // The client's words for one that could not be connected to.
  [/^(?:Connection is closed|Command timed out)/, 'No sentinel of REDIS_SENTINELS can be reached'],
  [/^$/, 'The sentinels of REDIS_SENTINELS know no master of the name in REDIS_SENTINEL_NAME'],
];

/** A server that replies with an error; anything else is the connection's matter. */
export function isRefusal(error: unknown): boolean {
  // WRONGTYPE: one key was broken by hand, and the rest of the schedule works.
  return error instanceof Error && error.name === 'ReplyError' && !error.message.startsWith('WRONGTYPE');
}

/** No reply came in time: from a server that hangs, or to a process that got no processor for a while. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Command timed out';
}

/** A command that this user may not run, or that this server does not have. */
export function isForbidden(error: unknown): boolean {
  return error instanceof Error && /^NOPERM|unknown command/.test(error.message);
}

export function explainRedisError(error: unknown): string {
  if (!(error instanceof Error)) return `Redis failed: ${String(error)}`;
  const { message } = error;
  // The client's words. Without a last error all sentinels replied, and none named a master.
  const sentinels = /^All sentinels are unreachable.*?(?: Last error: (.*))?$/.exec(message);
  if (sentinels !== null) return explainSentinelError(sentinels[1] ?? '');
  for (const [pattern, sentence] of REFUSALS) if (pattern.test(message)) return sentence;
  const forbidden = /^NOPERM .*run the '([^']+)' command/.exec(message)?.[1];
  if (forbidden !== undefined) return `Redis forbids its user the command ${forbidden}: grant +${forbidden}`;
  const unknown = /^ERR unknown command '?`?([\w|-]+)/i.exec(message)?.[1];
  if (unknown !== undefined) return `Redis does not have the command ${unknown.toLowerCase()}, which the service needs`;
  if (error.name === 'ReplyError') return `Redis refuses: ${message}`;
  return `Redis cannot be reached: ${message === '' ? codeOf(error) : message}`;
}

function explainSentinelError(message: string): string {
  for (const [pattern, sentence] of SENTINEL_REFUSALS) if (pattern.test(message)) return sentence;
  return `No sentinel of REDIS_SENTINELS leads to a master: ${message}`;
}

// Node's error for a name with several addresses has no message of its own.
function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
