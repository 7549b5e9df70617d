// Checks the way to a receiver step by step, and says at each what is wrong and what to do.
import { hasBegun, type Outcome } from '../domain/delivery.ts';
import { diagnosisOf, type DiagnosedStep, type Diagnosis } from '../domain/diagnosis.ts';
import { ServiceError } from '../domain/errors.ts';
import { newId } from '../domain/ids.ts';
import type { RetryPolicy } from '../domain/retry-policy.ts';
import type { HttpClient } from '../outbound/http-client.ts';
import { isShortage, type Failure } from '../outbound/shortage.ts';
import type { RateLimit } from '../security/rate-limit.ts';
import { newSecret, signingKey } from '../security/signature.ts';
import type { Diagnoser } from '../service/diagnoser.ts';
import type { AccessTokens } from './access-tokens.ts';
import type { Attempt } from './attempt.ts';
import { DiagnosisBudget } from './diagnosis-budget.ts';
import { clockStep, connectStep, hasWay, pingStep, resolveStep, tlsStep, tokenStep, urlStep } from './diagnosis-steps.ts';
import { pingParts } from './ping.ts';
import type { Target, WebhookDirectory } from './webhook-directory.ts';

/** ms. The longest ping. A caller waits for it in a call of 30 s, of which name servers may take 3 s and connecting 5 s. */
export const MAX_PING_MS = 15_000;
/** How long a caller is asked to wait when this process has no socket to spare, in milliseconds. */
const NO_SOCKET_RETRY_MS = 1000;

export interface DiagnoserOptions {
  readonly directory: Pick<WebhookDirectory, 'load'>;
  readonly client: Pick<HttpClient, 'probe'>;
  readonly send: Attempt;
  readonly tokens: Pick<AccessTokens, 'renew'>;
  /** Returns the URL as it is stored, or throws a ServiceError. */
  readonly checkUrl: (url: string) => string;
  /** How many diagnoses a user may have in a minute. */
  readonly rate: RateLimit;
  /** Of URLs without a webhook. */
  readonly policy: RetryPolicy;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
}

export function createDiagnoser(options: DiagnoserOptions): Diagnoser {
  const budget = new DiagnosisBudget(options.rate);
  return {
    admit: (userId, subject) => budget.take(userId, subject),
    async ofWebhook(webhookId) {
      const target = await options.directory.load(webhookId);
      return target === null ? null : diagnose(options, target, { knowsSecret: true });
    },
    ofUrl: (url) => diagnose(options, strangerAt(url, options), { knowsSecret: false }),
  };
}

async function diagnose(
  options: DiagnoserOptions,
  target: Target,
  receiver: { readonly knowsSecret: boolean },
): Promise<Diagnosis> {
  const steps: DiagnosedStep[] = [];
  const { url, step } = checked(options, target.url);
  steps.push(step);
  if (url === null) return diagnosisOf(steps);

  const report = await options.client.probe(url.href, target.identity);
  refuseWithout(report.failure);
  for (const { failure } of report.dials) refuseWithout(failure);
  steps.push(resolveStep(url, report));
  if (report.failure !== null) return diagnosisOf(steps);
  steps.push(connectStep(url, report));
  const tls = tlsStep(url, report, options.now());
  if (tls !== null) steps.push(tls);
  if (!hasWay(report)) return diagnosisOf(steps);
  const token = await askForToken(options, target);
  if (token !== null) steps.push(token);
  if (token?.result === 'failed') return diagnosisOf(steps);

  const { outcome, head } = await ping(options, { ...target, url: url.href });
  steps.push(pingStep(outcome, head, receiver));
  if (head !== null) steps.push(clockStep(outcome, head));
  return diagnosisOf(steps);
}

function checked({ checkUrl }: DiagnoserOptions, text: string): { readonly url: URL | null; readonly step: DiagnosedStep } {
  try {
    return { url: new URL(checkUrl(text)), step: urlStep(null) };
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return { url: null, step: urlStep(error) };
  }
}

/** A new one, since the one in use says nothing about the settings as they are now. Null: the receiver asks for none. */
async function askForToken({ tokens }: DiagnoserOptions, target: Target): Promise<DiagnosedStep | null> {
  if (target.oauth == null) return null;
  const startedAt = performance.now();
  const { id: webhookId, userId: tenant, oauth } = target;
  const answer = await tokens.renew({ webhookId, tenant, oauth, timeoutMs: target.policy.timeoutMs });
  if (!('token' in answer) && !hasBegun(answer)) throw noSocket();
  return tokenStep(answer, performance.now() - startedAt);
}

/** A request exactly like a delivery, so that the receiver's check of signatures is tried as well. */
async function ping(options: DiagnoserOptions, target: Target): Promise<{ outcome: Outcome; head: string | null }> {
  const policy = { ...target.policy, timeoutMs: Math.min(target.policy.timeoutMs, MAX_PING_MS) };
  let head: string | null = null;
  const { outcome } = await options.send(
    { ...target, policy },
    pingParts(target.id, options.now()),
    1,
    (text) => (head = text),
  );
  if (hasBegun(outcome)) return { outcome, head };
  throw noSocket();
}

/** What is short here says nothing about the receiver. */
function refuseWithout(failure: Failure | null): void {
  if (isShortage(failure)) throw noSocket();
}

function noSocket(): ServiceError {
  return new ServiceError('overloaded', 'This process has no socket to spare for a diagnosis; try again later.', {
    retryAfterMs: NO_SOCKET_RETRY_MS,
  });
}

/** A webhook as it would be at this URL; its secret is drawn and forgotten. */
function strangerAt(url: string, { policy, now }: DiagnoserOptions): Target {
  return {
    id: newId('webhook', now()),
    userId: '',
    url,
    keys: [{ key: signingKey(newSecret()), expiresAtMs: Number.POSITIVE_INFINITY, signsHeader: true }],
    customHeaders: {},
    policy,
    rateLimit: 0,
    revision: 0,
    isDeliverable: true,
    isPaused: false,
    fault: null,
    lacksKey: false,
  };
}
