// Why a webhook got an event or did not: the verdict, and every rule in the order in which the service applies them.
import {
  type Explanation,
  ExplanationVerdict,
  type ExplainedRule,
  RuleResult,
} from '../../gen/homechef/webhook/v1/delivery_pb.ts';

const TONES: Record<RuleResult, string> = {
  [RuleResult.UNSPECIFIED]: '',
  [RuleResult.PASSED]: 'tone-delivered',
  [RuleResult.STOPPED_HERE]: 'tone-failed',
  [RuleResult.NOT_REACHED]: 'tone-cancelled',
};

const RESULTS: Record<RuleResult, string> = {
  [RuleResult.UNSPECIFIED]: '',
  [RuleResult.PASSED]: 'passed',
  [RuleResult.STOPPED_HERE]: 'stopped here',
  [RuleResult.NOT_REACHED]: 'not reached',
};

const VERDICTS: Record<ExplanationVerdict, string> = {
  [ExplanationVerdict.UNSPECIFIED]: '',
  [ExplanationVerdict.DELIVERED]: 'Delivered.',
  [ExplanationVerdict.WAITING]: 'It waits.',
  [ExplanationVerdict.NOT_OWED]: 'It was not for this webhook.',
  [ExplanationVerdict.ENDED]: 'It came to an end.',
};

export function ExplanationView({ explanation: { verdict, summary, rules, deliveryId } }: { explanation: Explanation }) {
  const stop = rules.find(({ result }) => result === RuleResult.STOPPED_HERE);
  return (
    <div class="explanation" data-testid="explanation">
      <p>
        <b>{VERDICTS[verdict]}</b> {summary}{' '}
        {deliveryId !== '' && location.pathname !== `/deliveries/${deliveryId}` && (
          <a href={`/deliveries/${deliveryId}`}>See the delivery</a>
        )}
      </p>
      {stop !== undefined && <Rules rules={[stop]} />}
      <details>
        <summary>All {rules.length} rules</summary>
        <Rules rules={rules} />
      </details>
    </div>
  );
}

function Rules({ rules }: { rules: readonly ExplainedRule[] }) {
  return (
    <ol class="rules">
      {rules.map(({ code, result, message }) => (
        <li key={code}>
          <code>{code}</code>
          <span class={`status ${TONES[result]}`}>{RESULTS[result]}</span>
          <span>{message}</span>
        </li>
      ))}
    </ol>
  );
}
