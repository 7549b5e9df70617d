// What can be said about a webhook's URL while it is typed. The service has the last word; this only saves a round trip.

export interface UrlOpinion {
  readonly kind: 'none' | 'wrong' | 'doubtful' | 'fine';
  readonly message: string;
}

const PRIVATE_HOST =
  /^(localhost|.*\.(localhost|local|internal|svc|arpa)|0\.|10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|\[(::1?\]|f[cd]|fe[89ab]))/;

export function checkUrl(text: string, options: { development: boolean }): UrlOpinion {
  if (text === '') return { kind: 'none', message: 'Where events are POSTed: an absolute https URL.' };
  if (/[\s\\]/.test(text)) return wrong('A URL holds no spaces or backslashes.');
  const authority = /^https?:\/\/([^/?#]+)/i.exec(text)?.[1];
  if (authority === undefined) return wrong('Begin with https:// and a host name.');
  if (authority.includes('@')) return wrong('Leave out user name and password; use a custom header instead.');
  if (text.includes('#')) return wrong('Leave out the fragment after #: it is never sent.');
  if (!URL.canParse(text)) return wrong('The host or the port is not valid.');
  const url = new URL(text);
  const isPrivate = PRIVATE_HOST.test(url.hostname);
  if (!options.development && isPrivate) return wrong('This host is private. Webhooks reach public addresses only.');
  if (!isPrivate && !url.hostname.includes('.') && !url.hostname.startsWith('['))
    return wrong('A public host name has at least one dot.');
  if (url.hostname.endsWith('.')) return wrong('Leave out the dot at the end of the host name.');
  if (url.protocol === 'http:')
    return { kind: 'doubtful', message: `Events will be POSTed to ${url.host} unencrypted. Prefer https.` };
  return { kind: 'fine', message: `Events will be POSTed to ${url.host}.` };
}

function wrong(message: string): UrlOpinion {
  return { kind: 'wrong', message };
}
