// The settings of a production process that let through what production keeps out: a reviewer would ask about each.
import type { Config } from '../config.ts';

/** The names of the variables; none outside production, where they are the defaults. */
export function relaxedSettings(config: Pick<Config, 'environment' | 'egress' | 'corsOrigins' | 'reflection'>): string[] {
  if (config.environment !== 'production') return [];
  const relaxed = {
    WEBHOOK_ALLOWED_CIDRS: config.egress.allowedCidrs.length > 0,
    WEBHOOK_ALLOW_HTTP: config.egress.allowHttp,
    CORS_ORIGINS: config.corsOrigins.some((origin) => origin.startsWith('http:')),
    GRPC_REFLECTION: config.reflection,
  };
  return Object.entries(relaxed).flatMap(([name, isRelaxed]) => (isRelaxed ? [name] : []));
}
