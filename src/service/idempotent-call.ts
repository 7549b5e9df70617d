// A call that its caller may repeat. The first one takes the key in the transaction of what it changes, and leaves its answer there: either both
// are committed or neither is.
import type { EntityManager } from '@mikro-orm/postgresql';
import { ServiceError } from '../domain/errors.ts';
import { entityManagerOf, type Orm } from '../persistence/orm.ts';
import {
  type CallId,
  countKeys,
  findFirstCall,
  keepAnswer,
  releaseKey,
  takeKey,
} from '../persistence/queries/idempotent-calls.ts';
import { type SecretBox, SecretUnreadable } from '../security/secret-box.ts';
import type { Principal } from '../security/tokens.ts';
import { KEY_KEPT_MS, keyRefused, keyReused } from './idempotency-key.ts';

/** Longer than any test send takes. Should its process die, the key is free again by then. */
const UNDER_WAY_MS = 120_000;
/** How long who repeats a call that is under way is asked to wait. */
const UNDER_WAY_RETRY_MS = 1000;
/**
 * Keys of one developer at a time. An answer has 1 to 2 kB; one that carries a receiver's own answer has 27 kB at most, so a developer fills 135 MB at
 * the very worst. A script that retries a night's failures with a key each stays below. Services and admins are trusted with more.
 */
export const MAX_KEYS_OF_DEVELOPER = 5000;

/** Thrown to roll back whatever a repeated call has begun. */
class CallRepeated extends Error {}

export interface IdempotentCallOptions<Result> {
  readonly principal: Principal;
  readonly method: string;
  readonly key: string;
  /** Of all that the caller asked for, but for the key. */
  readonly requestHash: string;
  readonly toBytes: (result: Result) => Uint8Array;
}

/** What a change that can be repeated needs of it. */
export type Once<Result> = Pick<IdempotentCall<Result>, 'recognise' | 'take' | 'keep'>;

export class IdempotentCall<Result> {
  readonly #context: { readonly orm: Orm; readonly secretBox: SecretBox };
  readonly #options: IdempotentCallOptions<Result>;
  readonly #id: CallId;

  constructor(context: { readonly orm: Orm; readonly secretBox: SecretBox }, options: IdempotentCallOptions<Result>) {
    this.#context = context;
    this.#options = options;
    this.#id = { caller: options.principal.userId, method: options.method, key: options.key };
  }

  /**
   * Runs the call, or answers what the first one answered. Throws `idempotency_key_reused` when that was another request,
   * `idempotency_key_in_use` while it is under way, `idempotency_limit_reached`, and whatever the call throws: then the key stays free.
   */
  async run(call: () => Promise<Result>): Promise<{ readonly result: Result } | { readonly firstAnswer: Uint8Array }> {
    try {
      return { result: await call() };
    } catch (error) {
      if (!(error instanceof CallRepeated)) throw error;
      return { firstAnswer: await this.#firstAnswer() };
    }
  }

  /** To be called before costly work outside the transaction: a repeated call ends here. Of two at the same time both may pass; `take` decides. */
  async recognise(): Promise<void> {
    if ((await findFirstCall(this.#manager(), this.#id)) !== undefined) throw new CallRepeated('the key is taken');
  }

  /** To be called first in the transaction. One that is repeated at the same time waits here for the first one's end. */
  async take(transaction: EntityManager): Promise<void> {
    await this.#take(transaction, KEY_KEPT_MS);
  }

  /** To be called last in the transaction. */
  async keep(transaction: EntityManager, result: Result): Promise<void> {
    const { requestHash, toBytes } = this.#options;
    const text = JSON.stringify([requestHash, Buffer.from(toBytes(result)).toString('base64')]);
    await keepAnswer(transaction, this.#id, this.#context.secretBox.seal('answer', this.#owner, text), KEY_KEPT_MS);
  }

  /** For a call that does more than a transaction can take back: takes the key, and gives it back should `work` fail. */
  async around(work: () => Promise<Result>): Promise<Result> {
    const manager = this.#manager();
    await manager.transactional((transaction) => this.#take(transaction, UNDER_WAY_MS));
    try {
      return await work();
    } catch (error) {
      await releaseKey(manager, this.#id);
      throw error;
    }
  }

  async #take(transaction: EntityManager, keptMs: number): Promise<void> {
    const { principal, requestHash } = this.#options;
    if (!(await takeKey(transaction, this.#id, requestHash, keptMs))) throw new CallRepeated('the key is taken');
    if (principal.role !== 'developer') return;
    const keys = await countKeys(transaction, principal.userId, MAX_KEYS_OF_DEVELOPER + 1);
    if (keys > MAX_KEYS_OF_DEVELOPER) throw tooManyKeys();
  }

  async #firstAnswer(): Promise<Uint8Array> {
    const first = await findFirstCall(this.#manager(), this.#id);
    // It was there a moment ago: it has come to nothing or has expired since, and the next repetition is the first call.
    if (first === undefined) throw underWay();
    const { requestHash } = this.#options;
    if (first.answer === null) throw first.requestHash === requestHash ? underWay() : keyReused();
    const [firstHash, answer] = this.#open(first.answer);
    if (firstHash !== requestHash) throw keyReused();
    return Buffer.from(answer, 'base64');
  }

  #open(sealed: string): [requestHash: string, answer: string] {
    try {
      return JSON.parse(this.#context.secretBox.open('answer', this.#owner, sealed)) as [string, string];
    } catch (cause) {
      if (!(cause instanceof SecretUnreadable)) throw cause;
      const message = 'was used before, and the answer of that time can no longer be read; use a new key for a new call';
      throw keyRefused(message, cause);
    }
  }

  get #owner() {
    const { caller, method, key } = this.#id;
    return { userId: caller, callKey: `${method}\n${key}` };
  }

  // The table has no owner's rows: its key begins with the caller.
  #manager(): EntityManager {
    return entityManagerOf(this.#context.orm, { everyone: true });
  }
}

function underWay(): ServiceError {
  const message = 'the first call with this key is under way; repeat it in a second';
  return new ServiceError('idempotency_key_in_use', `idempotency_key: ${message}`, {
    violations: [{ field: 'idempotency_key', message }],
    retryAfterMs: UNDER_WAY_RETRY_MS,
  });
}

function tooManyKeys(): ServiceError {
  const message = `of ${MAX_KEYS_OF_DEVELOPER} calls of the last 24 hours are kept; call without one, or wait until some have expired`;
  return new ServiceError('idempotency_limit_reached', `idempotency_key: ${message}`, {
    violations: [{ field: 'idempotency_key', message }],
  });
}
