// A first try that succeeded lives in its delivery row alone. A statement that sends a delivery again gives that try a row of its own, before the coming attempt
// overwrites it.

/** Keeps the last attempt of the deliveries of `from`, as they were. */
export const keepAttempt = (from: string): string => `insert into attempts
    (delivery_id, number, started_at, duration_ms, http_status, response, response_truncated, error_code, error_message, trigger,
      response_oddity)
  select id, attempt_count, attempted_at, coalesce(duration_ms, 0), http_status, response, response_truncated, error_code,
    error_message, coalesce(last_trigger, 'automatic'), response_oddity
  from ${from} where attempt_count > 0 and attempted_at is not null
  on conflict (delivery_id, number) do nothing`;
