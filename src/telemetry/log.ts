// The log: structured JSON lines where machines read them, short lines where a person does; nothing secret in either.
import { pino, type Bindings, type DestinationStream, type LogFn, type Logger as PinoLogger, type LoggerOptions } from 'pino';
import type { Config } from '../config.ts';
import { describeError, redactFields, redactText } from './redact.ts';

/**
 * `log.info({ webhook_id }, 'what happened')`. Field names are snake_case like the API's; `err` holds an error.
 * `log.child({ trace_id })` puts a field on every line.
 */
export type Logger = PinoLogger;

type LogConfig = Pick<Config, 'environment' | 'logLevel' | 'version' | 'role'>;

/** `destination` is for tests; lines otherwise go to standard output. */
export function createLogger(config: LogConfig, destination?: DestinationStream): Logger {
  const forPeople = config.environment === 'development' || (config.environment === 'test' && process.stdout.isTTY);
  const options: LoggerOptions = {
    level: config.logLevel,
    base: forPeople ? {} : { service: 'homechef-webhooks', version: config.version, role: config.role, pid: process.pid },
    messageKey: 'message',
    // Errors are described by redactFields, which sees them at any depth.
    serializers: { err: (value: unknown) => value },
    timestamp,
    formatters: {
      level: (label) => ({ level: label }),
      log: redactFields,
    },
    hooks: {
      logMethod(arguments_, method) {
        method.apply(this, cleanArguments(arguments_));
      },
      ...(forPeople ? { streamWrite: readable } : {}),
    },
  };
  // Asynchronous: a slow reader of the log must not stop deliveries. Lines still held are written when the process exits.
  const log = pino(options, destination ?? pino.destination({ dest: 1, sync: forPeople }));
  // Fields given to child() pass no formatter. Children inherit this one, theirs too.
  const root = Object.getPrototypeOf(log) as { child(this: Logger, bindings: Bindings): Logger };
  log.child = function clean(this: Logger, bindings: Bindings) {
    return root.child.call(this, redactFields(bindings));
  } as unknown as typeof log.child;
  return log;
}

/** Says nothing: for tests that look at something else. */
export const silentLogger: Logger = pino({ level: 'silent' });

// pino takes a bare error's message for the line's own, and messages past the redaction of fields: both are put right here.
function cleanArguments(arguments_: Parameters<LogFn>): Parameters<LogFn> {
  const [subject, message, ...rest] = arguments_ as unknown as unknown[];
  if (typeof subject === 'string') return (arguments_ as unknown as unknown[]).map(cleanText) as unknown as Parameters<LogFn>;
  const fields = subject instanceof Error ? { err: subject } : subject;
  const words = message ?? (typeof fields === 'object' && fields !== null && 'err' in fields ? 'failed' : undefined);
  return [fields, cleanText(words), ...rest.map(cleanText)] as unknown as Parameters<LogFn>;
}

function cleanText(value: unknown): unknown {
  return typeof value === 'string' ? redactText(value) : value instanceof Error ? describeError(value) : value;
}

let stampedMs = -1;
let stamp = '';

// Thousands of lines share a millisecond under load, so the last stamp is kept.
function timestamp(): string {
  const now = Date.now();
  if (now !== stampedMs) {
    stampedMs = now;
    stamp = `,"time":"${new Date(now).toISOString()}"`;
  }
  return stamp;
}

// "16:20:31 INFO  delivered  webhook_id=webhook_…": one line, then the stack when there is one.
function readable(line: string): string {
  const { level, time, message, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const shown = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' && /^[\w.:/-]+$/.test(value) ? value : JSON.stringify(value)}`,
  );
  const error = err as { type?: string; message?: string; stack?: string } | undefined;
  if (error !== undefined) shown.push(`err=${JSON.stringify(`${error.type ?? 'error'}: ${error.message ?? ''}`)}`);
  const clock = String(time).slice(11, 19);
  const head = `${clock} ${String(level).toUpperCase().padEnd(5)} ${typeof message === 'string' ? JSON.stringify(message).slice(1, -1) : ''}`;
  const text = shown.length > 0 ? `${head}  ${shown.join(' ')}` : head;
  const stack = error?.stack !== undefined && (level === 'error' || level === 'fatal') ? `\n${error.stack}` : '';
  return `${text}${stack}\n`;
}
