// Which event types a webhook's subscriptions stand for: names, `order.*` and `*`.

/** Names first, then what the patterns take in of the catalogue. */
export function namesOf(subscriptions: readonly string[], catalogue: readonly { readonly name: string }[]): string[] {
  const covered = catalogue.map(({ name }) => name).filter((name) => subscriptions.some((pattern) => takesIn(pattern, name)));
  return [...new Set([...subscriptions.filter((name) => !name.endsWith('*')), ...covered])];
}

function takesIn(pattern: string, name: string): boolean {
  return pattern.endsWith('*') && name.startsWith(pattern.slice(0, -1));
}
