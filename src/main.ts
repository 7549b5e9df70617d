// The service as a process: configure, build, serve, and stop in good order on a signal.
import { format } from 'node:util';
import { createApp, type App } from './app/create-app.ts';
import { welcome, WELCOME_SERVICE, WELCOME_USER } from './cli/welcome.ts';
import { ConfigError, readEnv, toConfig, type Config } from './config.ts';
import { mintToken } from './security/tokens.ts';
import { collectStartGarbage } from './app/start-garbage.ts';

/** Beyond the grace for requests in flight, in milliseconds: what closing listeners, pools and the embedded database may take. */
const CLOSING_MS = 20_000;
/**
 * ms. A terminal sends Ctrl-C to npm, to make and to this process, and npm and make pass it on: what comes again within this time is the same
 * signal. On a busy machine npm takes a while, and a drain that is cut costs more than a second of patience.
 */
const ECHO_MS = 2000;

/** As the process begins: our own last words go there as they are. */
const { error: print } = console;

try {
  const config = toConfig(readEnv());
  let created: App | null = null;
  stopOnSignals(config, () => created);
  const app = await createApp(config, collectStartGarbage);
  created = app;
  printIntoLog(app);
  stopOnFatalErrors(app);
  await app.start();
  if (config.environment === 'development') console.log(await greeting(app, config));
} catch (error) {
  print(refusalOf(error) ?? error);
  process.exit(1);
}

// One line for what an operator can mend: a setting, or an error of the system or a server. Null for a fault of ours, which needs its
// stack.
function refusalOf(error: unknown): string | null {
  if (error instanceof ConfigError) return `Not started: ${error.message}`;
  if (error instanceof AggregateError) return refusalOf(error.errors[0]);
  return error instanceof Error && 'code' in error ? `Not started: ${error.message} (${String(error.code)})` : null;
}

// Libraries that print (Connect does when a watcher's socket closes under a write) get a line of the log, with nothing secret in it.
function printIntoLog({ log }: App): void {
  const write = (...parts: unknown[]): void => {
    const err = parts.find((part) => part instanceof Error);
    log.warn({ err, printed: true }, format(...parts.filter((part) => part !== err)) || 'an error');
  };
  console.error = write;
  console.warn = write;
}

// An unexpected error leaves the process in an unknown state: it logs that and ends, and its leases run out.
function stopOnFatalErrors(app: App): void {
  for (const kind of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(kind, (error: unknown) => {
      app.log.fatal({ err: error, kind }, 'this process cannot go on');
      process.exit(1);
    });
  }
}

/** @param findApp null while it is being built */
function stopOnSignals(config: Config, findApp: () => App | null): void {
  let stoppingSinceMs: number | null = null;
  const stop = (): void => {
    const app = findApp();
    // Nothing was claimed or accepted. An embedded PostgreSQL ends with the process, which it would not by the signal itself.
    if (app === null) return process.exit(0);
    const stopAtOnce = (why: string): void => {
      app.log.warn(`${why}: this process ends at once, and another attempts again what it had in flight`);
      process.exit(1);
    };
    if (stoppingSinceMs !== null) {
      if (performance.now() - stoppingSinceMs >= ECHO_MS) stopAtOnce('a second signal came');
      return;
    }
    stoppingSinceMs = performance.now();
    setTimeout(() => stopAtOnce('the stop took too long'), config.shutdownGraceMs + CLOSING_MS).unref();
    app.drain().then(
      () => process.exit(0),
      (error: unknown) => {
        print(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

async function greeting(app: App, config: Config): Promise<string> {
  const [developer, service] = await Promise.all([
    mintToken(config.tokens, { user: WELCOME_USER, role: 'developer' }),
    mintToken(config.tokens, { user: WELCOME_SERVICE, role: 'service' }),
  ]);
  return welcome(config, app.addresses, { developer, service });
}
