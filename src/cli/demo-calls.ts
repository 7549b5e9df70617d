// How the demo's stories call the service, and wait for what they are about.
import { pause } from '../lifecycle/pause.ts';

const POLL_INTERVAL_MS = 200;
/** ms. Three hundred orders at 50 a second take some eleven seconds. */
const DEADLINE_MS = 90_000;

export type Call = <T>(method: string, path: string, body?: object) => Promise<T>;

export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const giveUpAt = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`${what} did not come within ${deadlineMs / 1000} s`);
    await pause(POLL_INTERVAL_MS);
  }
}

export function caller(http: string, token: string): Call {
  return async <T>(method: string, path: string, body?: object): Promise<T> => {
    const response = await fetch(http + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${answer}`);
    return JSON.parse(answer) as T;
  };
}
