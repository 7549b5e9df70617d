// The command line for people who run or use the service: which command the arguments name, and how it ends.
import { toConfig } from '../config.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import { type Command, UsageError } from './usage.ts';

const USAGE = `Usage:
  token --user <id> [--role developer|service|admin]   Print a token signed with JWT_SECRET, good for JWT_EXPIRATION seconds
  migrate                                              Bring the schema of the database at DB_HOST up to date
  reencrypt                                            Seal stored secrets under the newest key of WEBHOOK_SECRET_KEYS
  secrets <file>                                       Write JWT_SECRET and WEBHOOK_SECRET_KEYS for node --env-file, made where none are
  listen [--forward <url>]                             Your own events on your machine as they happen, without a webhook
  watch                                                Deliveries as they happen, as a table
  trigger <event type>                                 Send a sample event to your webhooks
  doctor <url>                                         Why nothing gets through to a receiver, step by step
  explain <delivery or event id>                       Why a webhook got an event or did not, rule by rule
  filter <webhook id> --event <event id>               Whether a payload passes a filter
  history <webhook id>                                 What was changed about a webhook, by whom and when
  attempts <delivery id>                               What was sent at each attempt, and what came back
  retry <delivery id>                                  Try a delivery again now
  cancel <delivery id>                                 Send a delivery no more
  pause <webhook id>                                   Keep what a webhook would get, instead of sending it
  resume <webhook id> [--rate <number>]                Send what was held, so many a second
  replay --webhook <id> [--status <name>]              Send again what a webhook did not get, and show how far that is
  service-keys                                         The public keys of the service, for receivers that check Ed25519 signatures
  rotate-service-key                                   Make a new key pair of the service
  event-types [list|create|update]                     The catalogue of event types
  publish <event type> --to <user id>                  Publish an event, as a service

Each explains itself with --help. --version prints the version.`;

// Loaded when asked for: what one command needs, the others should not wait for.
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  token: async () => (await import('./token.ts')).token,
  migrate: async () => (await import('./migrate.ts')).migrate,
  reencrypt: async () => (await import('./reencrypt.ts')).reencrypt,
  secrets: async () => (await import('./secrets.ts')).secrets,
  listen: async () => (await import('./listen.ts')).listen,
  watch: async () => (await import('./watch.ts')).watch,
  trigger: async () => (await import('./trigger.ts')).trigger,
  doctor: async () => (await import('./doctor.ts')).doctor,
  explain: async () => (await import('./explain.ts')).explain,
  filter: async () => (await import('./filter.ts')).filter,
  history: async () => (await import('./history.ts')).history,
  attempts: async () => (await import('./attempts.ts')).attempts,
  retry: async () => (await import('./retry.ts')).retry,
  cancel: async () => (await import('./cancel.ts')).cancel,
  pause: async () => (await import('./pause.ts')).pause,
  resume: async () => (await import('./pause.ts')).resume,
  replay: async () => (await import('./replay.ts')).replay,
  'service-keys': async () => (await import('./service-keys.ts')).serviceKeys,
  'rotate-service-key': async () => (await import('./service-keys.ts')).rotateServiceKey,
  'event-types': async () => (await import('./event-types.ts')).eventTypes,
  publish: async () => (await import('./publish.ts')).publish,
};

/** Runs the command that the arguments name. Null when it did what it was asked; rejects for a fault of ours, which needs its stack. */
export async function runCommand(args: string[]): Promise<Refusal | null> {
  if (args.length === 0) return { message: USAGE, exitCode: 2 };
  try {
    await dispatch(args);
    return null;
  } catch (error) {
    const refusal = await refusalOf(error);
    if (refusal === null) throw error;
    return refusal;
  }
}

async function dispatch([first = '', ...rest]: string[]): Promise<void> {
  if (first === 'help' || first === '--help' || first === '-h') return help(rest[0]);
  if (rest.includes('--help') || rest.includes('-h')) return help(first);
  if (first === '--version' || rest.includes('--version')) return console.log(toConfig({}).version);
  return (await commandOf(first)).run(rest);
}

async function help(name: string | undefined): Promise<void> {
  console.log(name === undefined ? USAGE : (await commandOf(name)).usage);
}

async function commandOf(name: string): Promise<Command> {
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined)
    throw new UsageError(`There is no command "${name}": it is one of ${Object.keys(commands).join(', ')}`, 'unimplemented');
  return load();
}
