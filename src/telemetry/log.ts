// The log: structured JSON lines where machines read them, short lines where a person does; nothing secret in either.
import { pino, type DestinationStream, type LogFn, type Logger as PinoLogger, type LoggerOptions } from 'pino';
import type { Config } from '../config.ts';
import { redactFields, redactText } from './redact.ts';

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
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: {
      level: (label) => ({ level: label }),
      bindings: redactFields,
      log: redactFields,
    },
    hooks: {
      logMethod(arguments_, method) {
        method.apply(this, nameBareErrors(arguments_));
      },
      streamWrite: (line) => (forPeople ? readable(line) : escapeControls(redactText(line))),
    },
  };
  // Asynchronous: a slow reader of the log must not stop deliveries. Lines still held are written when the process exits.
  return pino(options, destination ?? pino.destination({ dest: 1, sync: forPeople }));
}

/** Says nothing: for tests that look at something else. */
export const silentLogger: Logger = pino({ level: 'silent' });

// pino takes a bare error's message for the line's own, past the redaction of fields: give the line words of its own instead.
function nameBareErrors(arguments_: Parameters<LogFn>): Parameters<LogFn> {
  const [subject, message, ...rest] = arguments_ as unknown as [unknown, unknown, ...unknown[]];
  const fields = subject instanceof Error ? { err: subject } : subject;
  const unnamed = typeof fields === 'object' && fields !== null && 'err' in fields && message === undefined;
  return [fields, unnamed ? 'failed' : message, ...rest] as unknown as Parameters<LogFn>;
}

// JSON escapes what is below U+0020; a terminal also obeys U+0080 to U+009F, and some viewers break lines at U+2028.
function escapeControls(line: string): string {
  return CONTROLS_BEYOND_JSON.test(line)
    ? line.replaceAll(ALL_CONTROLS_BEYOND_JSON, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
    : line;
}
const CONTROLS_BEYOND_JSON = /[\u007f-\u009f\u2028\u2029]/;
const ALL_CONTROLS_BEYOND_JSON = new RegExp(CONTROLS_BEYOND_JSON, 'g');

// "16:20:31 INFO  delivered  webhook_id=webhook_…": one line, then the stack when there is one.
function readable(line: string): string {
  const { level, time, message, err, ...fields } = JSON.parse(redactText(line)) as Record<string, unknown>;
  const told = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' && /^[\w.:/-]+$/.test(value) ? value : JSON.stringify(value)}`,
  );
  const error = err as { type?: string; message?: string; stack?: string } | undefined;
  if (error !== undefined) told.push(`err=${JSON.stringify(`${error.type ?? 'error'}: ${error.message ?? ''}`)}`);
  const clock = String(time).slice(11, 19);
  const head = `${clock} ${String(level).toUpperCase().padEnd(5)} ${typeof message === 'string' ? JSON.stringify(message).slice(1, -1) : ''}`;
  const text = told.length > 0 ? `${head}  ${told.join(' ')}` : head;
  const stack = error?.stack !== undefined && (level === 'error' || level === 'fatal') ? `\n${error.stack}` : '';
  return `${escapeControls(text)}${stack}\n`;
}
