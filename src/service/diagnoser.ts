// How the way to a receiver is looked at: the engine implements it, DiagnoseWebhook and DiagnoseUrl ask for it.
import type { Diagnosis } from '../domain/diagnosis.ts';

export interface Diagnoser {
  /**
   * Counts one diagnosis of the user's and takes its place; to be called before anything else of it, and the function that it resolves to
   * afterwards. Rejects with `diagnose_limit_reached`.
   * @param subject what has one diagnosis at a time: a webhook's id, or the user's for URLs
   */
  admit(userId: string, subject: string): Promise<() => void>;
  /** Null when there is no such webhook; one that is disabled can be diagnosed. Rejects with `overloaded` for want of something of ours. */
  ofWebhook(webhookId: string): Promise<Diagnosis | null>;
  /** The same for a URL without a webhook, with a random secret. */
  ofUrl(url: string): Promise<Diagnosis>;
}
