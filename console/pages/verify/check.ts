// The check of a pasted request: each thing that can be wrong with it, each by its name.
import { plainSignature, secretBytes, standardSignature, TOLERANCE_SECONDS } from '../../signing.ts';
import { span } from '../../format/time.ts';

export interface Pasted {
  readonly secret: string;
  /** As they arrived, one a line. */
  readonly headers: string;
  readonly body: string;
}

export interface Finding {
  readonly verdict: 'good' | 'bad' | 'note';
  readonly text: string;
}

export async function checkRequest(pasted: Pasted, plainHeader: string, nowMs: number): Promise<Finding[]> {
  const key = secretBytes(pasted.secret.trim());
  if (key === null)
    return [
      { verdict: 'bad', text: 'This is not a signing secret: it is whsec_ and base64, as it was shown when it was made.' },
    ];
  const headers = parseHeaders(pasted.headers);
  const plain = headers.get(plainHeader.toLowerCase());
  const findings = await checkStandard(headers, pasted.body, key, nowMs);
  if (plain !== undefined) findings.push(await checkPlain(plain, plainHeader, pasted));
  if (findings.length === 0) {
    findings.push({ verdict: 'bad', text: `Neither webhook-signature nor ${plainHeader} is among the headers.` });
  }
  return findings;
}

async function checkStandard(
  headers: ReadonlyMap<string, string>,
  body: string,
  key: Uint8Array<ArrayBuffer>,
  nowMs: number,
): Promise<Finding[]> {
  const signatures = headers.get('webhook-signature');
  if (signatures === undefined) return [];
  const id = headers.get('webhook-id');
  const timestamp = headers.get('webhook-timestamp');
  const missing = [id === undefined && 'webhook-id', timestamp === undefined && 'webhook-timestamp'].filter(
    (name) => name !== false,
  );
  if (id === undefined || timestamp === undefined) {
    return [{ verdict: 'bad', text: `webhook-signature needs ${missing.join(' and ')} too: they are part of what is signed.` }];
  }
  const sent = signatures.split(' ');
  const expects = (text: string) => standardSignature(key, id, timestamp, text);
  if (sent.includes(await expects(body)))
    return [{ verdict: 'good', text: 'webhook-signature fits this secret and this body.' }, age(timestamp, nowMs)];
  const trimmed = [body.trimEnd(), `${body}\n`];
  for (const other of trimmed) {
    if (sent.includes(await expects(other))) {
      return [
        {
          verdict: 'bad',
          text: 'webhook-signature fits once the line break at the end of the body is put right: something added or dropped it.',
        },
      ];
    }
  }
  const compact = compacted(body);
  if (compact !== body && sent.includes(await expects(compact))) {
    return [
      {
        verdict: 'bad',
        text: 'webhook-signature fits the same JSON without added spaces: the body was parsed and printed again on its way.',
      },
    ];
  }
  return [
    { verdict: 'bad', text: 'webhook-signature does not fit: another secret, or the body, id or timestamp was changed.' },
  ];
}

async function checkPlain(value: string, name: string, pasted: Pasted): Promise<Finding> {
  const fits = value === (await plainSignature(pasted.secret.trim(), pasted.body));
  return fits
    ? { verdict: 'good', text: `${name} fits this secret and this body.` }
    : { verdict: 'bad', text: `${name} does not fit.` };
}

function age(timestamp: string, nowMs: number): Finding {
  if (!/^\d{1,12}$/.test(timestamp)) return { verdict: 'bad', text: 'webhook-timestamp is not a number of seconds.' };
  const offSeconds = nowMs / 1000 - Number(timestamp);
  if (Math.abs(offSeconds) <= TOLERANCE_SECONDS) return { verdict: 'good', text: 'webhook-timestamp is recent.' };
  const distance = span(Math.abs(offSeconds) * 1000);
  return {
    verdict: 'note',
    text: `webhook-timestamp is ${distance} ${offSeconds > 0 ? 'old' : 'ahead'}: a receiver refuses it now, though it was in time if it arrived then.`,
  };
}

/** `name: value` lines, also as curl's `-H 'name: value'`. */
export function parseHeaders(text: string): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:-H\s+)?['"]?([A-Za-z0-9-]+)\s*:\s*(.*?)['"]?\s*\\?\s*$/.exec(line);
    if (match !== null) headers.set((match[1] ?? '').toLowerCase(), match[2] ?? '');
  }
  return headers;
}

function compacted(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body));
  } catch {
    return body;
  }
}
