// How a receiver verifies in one language: what to install, and a file to copy.
export interface Sample {
  readonly key: string;
  readonly label: string;
  readonly install: string;
  readonly file: string;
  readonly code: string;
}
