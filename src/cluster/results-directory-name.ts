/** Where results are put in a project; it is never sent. In a file of its own, because commands that only pull want to start quickly. */
export const resultsDirectoryName = 'hpcrun-results';
