// How an explanation looks on the wire.
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type ExplainedRuleSchema,
  type ExplanationSchema,
  ExplanationVerdict,
  RuleResult,
} from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { EventExplanationSchema } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { EventExplanation } from '../../service/explain.ts';
import type { ExplainedRule, Explanation } from '../../service/explanation.ts';

const VERDICTS: Record<Explanation['verdict'], ExplanationVerdict> = {
  delivered: ExplanationVerdict.DELIVERED,
  waiting: ExplanationVerdict.WAITING,
  not_owed: ExplanationVerdict.NOT_OWED,
  ended: ExplanationVerdict.ENDED,
};

const RESULTS: Record<ExplainedRule['result'], RuleResult> = {
  passed: RuleResult.PASSED,
  stopped_here: RuleResult.STOPPED_HERE,
  not_reached: RuleResult.NOT_REACHED,
};

export function explanationMessage(explanation: Explanation): MessageInitShape<typeof ExplanationSchema> {
  const { verdict, rules, ...rest } = explanation;
  return { ...rest, verdict: VERDICTS[verdict], rules: rules.map(ruleMessage) };
}

export function eventExplanationMessage(explanation: EventExplanation): MessageInitShape<typeof EventExplanationSchema> {
  const { verdict, summary, rules, webhooks } = explanation;
  return {
    verdict: VERDICTS[verdict],
    summary,
    rules: rules.map(ruleMessage),
    webhooks: webhooks.map((each) => explanationMessage(each)),
  };
}

function ruleMessage({ code, result, message }: ExplainedRule): MessageInitShape<typeof ExplainedRuleSchema> {
  return { code, result: RESULTS[result], message };
}
