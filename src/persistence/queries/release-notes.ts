// Release notes: a statement that ends a delivery which a release made due notes it. Only the leader counts the notes, so no statement
// waits for the one row of a release.

/**
 * Notes how rows of `from` ended that a release had made due.
 * @param outcome what came of it, where that is not the row's status
 */
export const noteReleased = (from: string, outcome = 'status'): string => `insert into release_notes (release_no, outcome)
  select release_no, ${outcome} from ${from} where release_no is not null and status in ('delivered', 'failed', 'cancelled')`;

/** Notes that rows of `from` were held again before they had come to an end. */
export const noteHeldAgain = (from: string): string => `insert into release_notes (release_no, outcome)
  select release_no, 'held' from ${from} where release_no is not null`;
