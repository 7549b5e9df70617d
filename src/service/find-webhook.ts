// How the management calls find the webhook they are about.
import { LockMode } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import { notFound } from '../domain/errors.ts';
import { isId } from '../domain/ids.ts';
import { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';

/** The webhook, if it is the caller's to see and, unless asked otherwise, not deleted; else the same error as for an id that never was. */
export async function findWebhook(
  manager: EntityManager,
  id: string,
  options: { lock?: boolean; isDeletedToo?: boolean } = {},
): Promise<WebhookEndpoint> {
  if (!isId('webhook', id)) throw notFound('webhook');
  const lock = options.lock === true ? { lockMode: LockMode.PESSIMISTIC_WRITE as const } : {};
  const webhook = await manager.findOne(
    WebhookEndpoint,
    options.isDeletedToo === true ? { id } : { id, deletedAt: null },
    lock,
  );
  if (webhook === null) throw notFound('webhook');
  return webhook;
}
