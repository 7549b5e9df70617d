// Every attempt in order, and the one that is still to come.
import { type Attempt, AttemptTrigger, type Delivery, DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { AttemptHeaders, wayOf } from './attempt-headers.tsx';
import { nowMs } from '../../clock.ts';
import { Moment } from '../../components/moment.tsx';
import { StatusGlyph } from '../../components/status-mark.tsx';
import { cancelWords } from '../../format/cancel-reason.ts';
import { causeOf } from '../../format/cause.ts';
import { lookOf, lookOfDelivery } from '../../format/status.ts';
import { duration, fullMoment, span, toDate } from '../../format/time.ts';

const TRIGGERS: Record<AttemptTrigger, string> = {
  [AttemptTrigger.UNSPECIFIED]: '',
  [AttemptTrigger.AUTOMATIC]: '',
  [AttemptTrigger.MANUAL]: 'asked for by hand',
  [AttemptTrigger.TEST]: 'test',
};

export function AttemptTimeline({ delivery }: { delivery: Delivery }) {
  const longestMs = Math.max(1, ...delivery.attempts.map((attempt) => attempt.durationMs));
  return (
    <section class="panel" aria-labelledby="attempts">
      <div class="panel-head">
        <h2 id="attempts">Attempts</h2>
        <span class="hint">{delivery.attempts.length === 0 ? 'none yet' : `${delivery.attempts.length} so far`}</span>
      </div>
      <ol class="timeline">
        {delivery.attempts.map((attempt, index) => (
          <AttemptItem
            key={attempt.number}
            attempt={attempt}
            longestMs={longestMs}
            isLast={index === delivery.attempts.length - 1}
          />
        ))}
        <Ending delivery={delivery} />
      </ol>
    </section>
  );
}

/** Earlier attempts are kept short: what the last one answered is what matters now. */
function AttemptItem({ attempt, longestMs, isLast }: { attempt: Attempt; longestMs: number; isLast: boolean }) {
  const ok = attempt.errorCode === undefined || attempt.errorCode === '';
  const cause = causeOf(attempt);
  const trigger = TRIGGERS[attempt.trigger];
  const response = attempt.response ?? '';
  return (
    <li class={ok ? 'attempt good' : 'attempt bad'}>
      <StatusGlyph look={lookOf(ok ? DeliveryStatus.DELIVERED : DeliveryStatus.FAILED)} />
      <div class="attempt-body">
        <p class="attempt-head">
          <b>{ok ? `Answered ${attempt.httpStatus ?? ''}` : cause.label}</b>
          {trigger !== '' && <span class="event-name">{trigger}</span>}
        </p>
        <p class="attempt-facts">
          <span>Attempt {attempt.number}</span>
          <Moment at={attempt.startedAt} precise />
          {attempt.durationMs > 0 && <span>{duration(attempt.durationMs)}</span>}
          {wayOf(attempt) !== null && <span>{wayOf(attempt)}</span>}
        </p>
        {attempt.durationMs > 0 && (
          <svg class="attempt-bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
            <rect width="100" height="4" class="attempt-bar-all" />
            <rect width={Math.max(1, (attempt.durationMs / longestMs) * 100)} height="4" class="attempt-bar-part" />
          </svg>
        )}
        {!ok && isLast && <p class="hint">{cause.advice || attempt.errorMessage}</p>}
        {attempt.responseOddity !== undefined && (
          <p class="hint">The answer was not quite HTTP: {attempt.responseOddity.replaceAll('_', ' ')}.</p>
        )}
        {response !== '' && (
          <details class="attempt-response" open={isLast}>
            <summary>Response{attempt.responseTruncated ? ' (its beginning)' : ''}</summary>
            <pre tabIndex={0} aria-label={`Response to attempt ${attempt.number}`}>
              <code>{response}</code>
            </pre>
          </details>
        )}
        <AttemptHeaders attempt={attempt} />
      </div>
    </li>
  );
}

/** What comes after the attempts made. */
function Ending({ delivery }: { delivery: Delivery }) {
  if (delivery.heldAt !== undefined)
    return <EndingText delivery={delivery} text="Held: it is sent once its webhook is resumed." />;
  if (delivery.status === DeliveryStatus.RETRYING || delivery.status === DeliveryStatus.PENDING)
    return <NextAttempt delivery={delivery} />;
  if (delivery.status === DeliveryStatus.FAILED)
    return <EndingText delivery={delivery} text="Given up. It can still be retried by hand." />;
  if (delivery.status === DeliveryStatus.CANCELLED)
    return <EndingText delivery={delivery} text={`Cancelled: ${cancelWords(delivery.cancelReason)}.`} />;
  return null;
}

function EndingText({ delivery, text }: { delivery: Delivery; text: string }) {
  return (
    <li class="attempt ending">
      <StatusGlyph look={lookOfDelivery(delivery)} />
      <p class="attempt-body">{text}</p>
    </li>
  );
}

function NextAttempt({ delivery }: { delivery: Delivery }) {
  const at = toDate(delivery.nextRetryAt);
  const waitMs = at === undefined ? 0 : at.getTime() - nowMs.value;
  return (
    <li class="attempt ending next">
      <StatusGlyph look={lookOf(DeliveryStatus.PENDING)} />
      <div class="attempt-body">
        <p>
          <b data-testid="countdown">{waitMs > 0 ? `Next attempt in ${span(waitMs)}` : 'Being sent now'}</b>
        </p>
        {at !== undefined && waitMs > 0 && <p class="hint">{fullMoment(at)}</p>}
      </div>
    </li>
  );
}
