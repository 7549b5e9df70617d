// What still comes of a body after its request was answered. A connection that is closed over unread bytes is reset, and the answer is
// lost with it: a proxy that is still sending makes a 502 of any refusal. So the rest is read and dropped, within bounds, before the end.
import type { IncomingMessage } from 'node:http';
import { pause } from '../../lifecycle/pause.ts';

/** More than any body that was meant: two of the largest batches. */
const MAX_DROPPED_BYTES = 33_554_432;
/** How often the bytes are looked at. */
const LOOK_MS = 100;

/** Resolves once the request has come to its end, or its caller is gone, or enough was dropped. */
export async function leftoversOf(request: IncomingMessage, maxMs: number): Promise<void> {
  const { socket } = request;
  const endsAtMs = performance.now() + maxMs;
  const lastByte = socket.bytesRead + MAX_DROPPED_BYTES;
  const ended = new AbortController();
  const onEnd = (): void => ended.abort();
  request.once('close', onEnd);
  request.resume();
  while (!request.complete && !request.destroyed && socket.bytesRead < lastByte && performance.now() < endsAtMs) {
    await pause(Math.min(LOOK_MS, maxMs), ended.signal);
    if (ended.signal.aborted) break;
  }
  request.off('close', onEnd);
}
