// The webhooks one may see, read once and shared by the pages that only know their ids.
import { signal } from '@preact/signals';
import type { Webhook } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { webhooks } from './client.ts';
import { type Failure, toFailure } from './failure.ts';

/** What one call may list. Beyond that, pages show ids instead of URLs. */
const MAX_WEBHOOKS = 100;

interface Directory {
  readonly state: 'unread' | 'reading' | 'ready' | 'failed';
  readonly list: readonly Webhook[];
  readonly byId: ReadonlyMap<string, Webhook>;
  readonly more: boolean;
  readonly failure: Failure | undefined;
}

const unread: Directory = { state: 'unread', list: [], byId: new Map(), more: false, failure: undefined };

export const directory = signal<Directory>(unread);

/** Reads the list unless it has been read; pages call it when they are shown. */
export async function readDirectory(options: { again?: boolean } = {}): Promise<void> {
  const before = directory.peek();
  if (before.state === 'reading' || (before.state === 'ready' && options.again !== true)) return;
  directory.value = { ...before, state: 'reading', failure: undefined };
  try {
    const answer = await webhooks.listWebhooks({ limit: MAX_WEBHOOKS });
    directory.value = {
      state: 'ready',
      list: answer.webhooks,
      byId: new Map(answer.webhooks.map((webhook) => [webhook.id, webhook])),
      more: answer.nextPageToken !== '',
      failure: undefined,
    };
  } catch (error) {
    directory.value = { ...directory.peek(), state: 'failed', failure: toFailure(error) };
  }
}

/** After a change, and when another user signs in. */
export function forgetDirectory(): void {
  directory.value = unread;
}
