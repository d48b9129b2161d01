-- Site rules of the sandbox (slurm.conf, JobSubmitPlugins=lua): a rule is in force while the file of its quirk is there, so that
-- it can be switched without telling slurmctld.
local function has(quirk)
  local file = io.open("/var/lib/sandbox/quirks/" .. quirk)
  if file then
    file:close()
  end
  return file ~= nil
end

function slurm_job_submit(job, _, _)
  if has("reject-mem") and (job.min_mem_per_node ~= nil or job.min_mem_per_cpu ~= nil) then
    slurm.log_user("--mem is not allowed here: memory comes with the CPUs.")
    return slurm.ERROR
  end
  if has("require-account") and (job.account == nil or job.account == "") then
    slurm.log_user("No account given: choose one with --account.")
    return slurm.ESLURM_INVALID_ACCOUNT
  end
  return slurm.SUCCESS
end

function slurm_job_modify(_, _, _, _)
  return slurm.SUCCESS
end
