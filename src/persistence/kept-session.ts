// One session with PostgreSQL that is kept for what belongs to a session: an advisory lock, and others seeing that this process lives. It is
// checked again and again, and opened anew when it was lost.
import { Client, type ClientConfig } from 'pg';
import { pause } from '../lifecycle/pause.ts';
import { KEEPALIVE } from './session.ts';

/** ms. A check that takes longer counts as a lost session: a stopped backend would never reply. */
const CHECK_TIMEOUT_MS = 5000;
/** ms. A connection that is stuck does not end in good order either. */
const END_TIMEOUT_MS = 1000;

export interface KeptSessionOptions {
  readonly connection: ClientConfig;
  /** ms between two checks, or tries to open it. */
  readonly intervalMs: number;
  /** Runs once over each new session, before its first check. */
  readonly prepare?: (client: Client) => Promise<void>;
  /** Runs over the session at each check. A rejection ends the session. */
  readonly check: (client: Client) => Promise<void>;
  /** The session has ended, and with it all locks; this process did not ask for it. */
  readonly onLost: () => void;
  readonly onError: (error: unknown) => void;
}

export class KeptSession {
  readonly #options: KeptSessionOptions;
  readonly #connection: ClientConfig;
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  #client: Client | undefined;

  constructor(options: KeptSessionOptions) {
    this.#options = options;
    this.#connection = {
      ...options.connection,
      query_timeout: CHECK_TIMEOUT_MS,
      options: `${options.connection.options ?? ''} ${KEEPALIVE}`,
    };
  }

  /** Whether this is still the session: what a check has found of another one says nothing. */
  isPresent(client: Client): boolean {
    return this.#client === client;
  }

  /** Resolves after the first try, whatever came of it. */
  async start(): Promise<void> {
    await this.#check();
    this.#loop = this.#run();
  }

  /** @param last runs over the session before it ends, where there is one */
  async drain(last: (client: Client) => Promise<void> = () => Promise.resolve()): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    if (this.#client !== undefined) await last(this.#client).catch(this.#options.onError);
    await this.#end();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await pause(this.#options.intervalMs, signal);
      if (signal.aborted) return;
      await this.#check();
    }
  }

  async #check(): Promise<void> {
    try {
      await this.#options.check(this.#client ?? (await this.#connect()));
    } catch (error) {
      this.#options.onError(error);
      this.#options.onLost();
      await this.#end();
    }
  }

  async #connect(): Promise<Client> {
    const client = new Client(this.#connection);
    // Only of the present session: the end of an old one says nothing about its successor.
    const ended = (): void => {
      if (this.#client !== client) return;
      this.#options.onLost();
      void this.#end();
    };
    client.on('error', ended);
    client.on('end', ended);
    this.#client = client;
    await client.connect();
    await this.#options.prepare?.(client);
    return client;
  }

  async #end(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await Promise.race([client?.end().catch(() => undefined), pause(END_TIMEOUT_MS)]);
  }
}
