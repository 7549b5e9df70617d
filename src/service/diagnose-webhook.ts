// Looks at the way to a webhook's receiver, or to a URL before there is a webhook.
import type { Diagnosis } from '../domain/diagnosis.ts';
import { notFound, ServiceError } from '../domain/errors.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import { newOwnerId, ownerOf } from './owner.ts';

/**
 * Nothing is recorded: the ping is no delivery, and the webhook's health does not suffer from it.
 * Errors: `not_found`, `resource_exhausted` (diagnose_limit_reached, overloaded).
 */
export async function diagnoseWebhook(context: ManagementContext, principal: Principal, webhookId: string): Promise<Diagnosis> {
  const webhook = await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), webhookId);
  const end = await context.diagnoser.admit(webhook.userId, webhook.id);
  try {
    const diagnosis = await context.diagnoser.ofWebhook(webhook.id);
    if (diagnosis === null) throw notFound('webhook');
    return diagnosis;
  } finally {
    end();
  }
}

/** A URL that the service does not accept is no error: the first step says why. Errors: `resource_exhausted` (diagnose_limit_reached, overloaded). */
export async function diagnoseUrl(context: ManagementContext, principal: Principal, url: string): Promise<Diagnosis> {
  const end = await context.diagnoser.admit(principal.userId, principal.userId);
  try {
    return await context.diagnoser.ofUrl(url);
  } finally {
    end();
  }
}

/**
 * Registers a webhook by `create` and looks at it. The place is taken first, so that nothing is registered when none is left. What is registered is
 * answered in any case: null stands for a diagnosis that there was no socket for. Errors: those of `create`, and `resource_exhausted` (diagnose_limit_reached).
 * @param userId as the caller names the owner; empty for themselves
 */
export async function createDiagnosed<Created extends { readonly id: string }>(
  context: ManagementContext,
  principal: Principal,
  userId: string,
  create: () => Promise<Created>,
): Promise<{ readonly created: Created; readonly diagnosis: Diagnosis | null }> {
  const ownerId = newOwnerId(principal, userId);
  const end = await context.diagnoser.admit(ownerId, ownerId);
  try {
    const created = await create();
    return { created, diagnosis: await context.diagnoser.ofWebhook(created.id).catch(nullIfOverloaded) };
  } finally {
    end();
  }
}

function nullIfOverloaded(error: unknown): null {
  if (error instanceof ServiceError && error.reason === 'overloaded') return null;
  throw error;
}
