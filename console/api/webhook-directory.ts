// The webhooks that pages know by their ids alone, read once and shared: the newest ones to choose from, others as they turn up.
import { signal } from '@preact/signals';
import type { Webhook } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { webhooks } from './client.ts';
import { type Failure, toFailure } from './failure.ts';

/** What one call may list. */
const MAX_WEBHOOKS = 100;

interface Directory {
  readonly state: 'unread' | 'reading' | 'ready' | 'failed';
  /** The newest ones. */
  readonly list: readonly Webhook[];
  readonly byId: ReadonlyMap<string, Webhook>;
  readonly failure: Failure | undefined;
}

const unread: Directory = { state: 'unread', list: [], byId: new Map(), failure: undefined };

export const directory = signal<Directory>(unread);

/** Asked for already; those that were deleted are never found. */
let asked = new Set<string>();
let wanted = new Set<string>();
let isLookingUp = false;

/** Reads the newest ones unless they have been read; pages that let a reader choose call it when they are shown. */
export async function readDirectory(): Promise<void> {
  const before = directory.peek();
  if (before.state === 'reading' || before.state === 'ready') return;
  directory.value = { ...before, state: 'reading', failure: undefined };
  try {
    const { webhooks: list } = await webhooks.listWebhooks({ limit: MAX_WEBHOOKS });
    directory.value = { state: 'ready', list, byId: withThese(list), failure: undefined };
  } catch (error) {
    directory.value = { ...directory.peek(), state: 'failed', failure: toFailure(error) };
  }
}

/** Reads those of these that are not known, a hundred at a time. A row without its webhook shows the id. */
export async function lookUpWebhooks(ids: Iterable<string>): Promise<void> {
  const { byId } = directory.peek();
  for (const id of ids) if (!byId.has(id) && !asked.has(id)) wanted.add(id);
  if (isLookingUp || wanted.size === 0) return;
  isLookingUp = true;
  const round = [...wanted].slice(0, MAX_WEBHOOKS);
  for (const id of round) {
    wanted.delete(id);
    asked.add(id);
  }
  try {
    const { webhooks: found } = await webhooks.listWebhooks({ webhookIds: round, limit: MAX_WEBHOOKS });
    directory.value = { ...directory.peek(), byId: withThese(found) };
  } catch {
    // Asked for again when a row next needs them.
    for (const id of round) asked.delete(id);
    return;
  } finally {
    isLookingUp = false;
  }
  await lookUpWebhooks([]);
}

/** After a change, and when another user signs in. */
export function forgetDirectory(): void {
  directory.value = unread;
  asked = new Set();
  wanted = new Set();
}

function withThese(found: readonly Webhook[]): ReadonlyMap<string, Webhook> {
  return new Map([...directory.peek().byId, ...found.map((webhook) => [webhook.id, webhook] as const)]);
}
