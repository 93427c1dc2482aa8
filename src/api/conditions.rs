//! The finite vocabulary of conditions. A reason is at once condition reason, Event reason and metric label.

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every word, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as Kubernetes shows it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// The word that `text` spells, if it is one of ours.
            #[must_use]
            pub fn from_word(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }
    };
}

words! {
    /// Type of a condition of a policy or a source.
    ConditionType {
        /// The spec is accepted and served (kstatus).
        Ready,
        /// Work is under way; present only while true (kstatus).
        Reconciling,
        /// Only a change of the policy itself can help; present only while true (kstatus).
        Stalled,
        /// The spec parses and its class allows it.
        Accepted,
        /// Every claimed value is on its object, and the rollout that carries it has finished.
        Applied,
        /// Every pod runs with the values that are in place, as far as their readbacks tell.
        Effective,
        /// Every threshold with a level holds.
        Compliant,
        /// Every query of the policy was answered.
        MetricsAvailable,
        /// Somebody else owns a field that the policy governs; present only while true.
        Conflicted,
        /// A profile whose condition holds is not active; present only while true.
        ProfileBlocked,
        /// A rollback pins values to what they were; present only while somebody asks for one. False: it cannot be read, or is another policy's.
        RollbackPinned,
        /// A metrics source answers.
        Available,
        /// More is committed than a budget has; present only while true.
        Overcommitted,
        /// The rules of the policy are loaded by the Prometheus that is asked; present only where alerts go there.
        RulesLoaded,
    }
}

words! {
    /// Reason of a condition, an Event or a verdict without data.
    Reason {
        // Accepted, Ready
        /// All is well.
        Accepted,
        /// The policy is served.
        Served,
        /// A literal cannot be read, or a rule of the spec is broken.
        InvalidSpec,
        /// A lower bound lies above its upper bound, or a value outside them.
        BoundsInverted,
        /// A formula has no value for these numbers, or one that its field cannot have.
        FormulaFailed,
        /// A policy that a newer version of the API stored.
        UnsupportedVersion,
        /// The named class does not exist.
        ClassNotFound,
        /// The class does not allow what the policy asks for.
        ClassForbids,
        /// The class is frozen.
        Frozen,
        /// The policy is suspended.
        Suspended,
        /// No object matches the target.
        NoTargets,
        /// More objects match the target than the class allows.
        TooManyTargets,
        /// The target lies in a protected namespace or is the operator itself.
        TargetProtected,
        /// A controller owns the workload and would undo every write.
        TargetControlled,
        /// The named container is not in the pod template.
        ContainerNotFound,
        /// The pod has several containers and the policy names none.
        ContainerAmbiguous,
        /// An environment name that no policy may set.
        EnvironmentNameForbidden,
        /// The variable comes from a `valueFrom`.
        EnvFromSource,
        /// The variable is listed twice in the container.
        EnvDuplicate,
        /// Another variable or argument refers to it by `$(NAME)`.
        EnvReferenced,
        /// The value contradicts one that the target has.
        BoundsConflictWithTarget,
        /// Memory that a runtime may take is above the limit of its container.
        MemoryAboveLimit,
        /// The variable of a runtime's options cannot be read as the runtime reads it.
        OptionsUnparseable,
        /// The value would have no effect: something that the application reads later says otherwise.
        NoEffect,
        /// A named `ConfigMap` does not exist.
        ConfigMapNotFound,
        /// The `ConfigMap` can never change.
        ConfigMapImmutable,
        /// The `ConfigMap` is named after its content.
        ConfigMapContentHashed,
        /// The document has no such path.
        KeyPathNotFound,
        /// The path leads to something that is not a scalar of this type.
        KeyTypeMismatch,
        /// The document cannot be read or edited safely.
        ConfigUnparseable,
        /// The `ConfigMap` would exceed one mebibyte.
        ConfigTooLarge,
        /// What was there before does not fit into its annotation.
        BaselineTooLarge,
        /// The record of what was there before cannot be read: nothing is written that would replace it.
        BaselineUnreadable,
        /// A named `ConnectionBudget` does not exist.
        BudgetNotFound,
        /// Pools could open more connections than their budget has.
        BudgetExceeded,
        /// The same, as its budget tells it.
        Overcommitted,
        /// A metrics source is not there.
        SourceNotFound,
        /// A scalable target cannot take `replicas`.
        ReplicasUnsupported,
        /// The cluster does not serve the kind of the target.
        KindNotServed,
        /// The change would delete data, and nobody has said that it may.
        DestructiveChange,
        /// The field cannot change once the object is there.
        FieldFixed,
        /// The object says that nobody shall carry out its changes.
        TargetPreventsUpdate,
        /// An object in the way cannot be served.
        Unsupported,

        // Applied
        /// Every value is in place.
        Applied,
        /// The policy only observes.
        ObserveOnly,
        /// The policy only recommends; the plan is in its status.
        RecommendOnly,
        /// Writes are decided and not done yet.
        Pending,
        /// Our rollout is under way.
        RollingOut,
        /// Somebody else's rollout is under way.
        TargetRolloutInProgress,
        /// The Deployment is paused.
        TargetPaused,
        /// The update strategy waits for a person (`OnDelete`, partition).
        AwaitingManualRollout,
        /// The status of a target that is no workload says that it is not ready.
        TargetNotReady,
        /// Other rollouts of ours are under way.
        WaitingForTurn,
        /// The rollout would take pods away, and a `PodDisruptionBudget` allows no disruption.
        DisruptionNotAllowed,
        /// Others have yet to let go of connections of a budget before a pool may grow.
        WaitingForBudget,
        /// The rollout of our change failed and the previous values are back.
        RolledBack,
        /// The rollout of our change failed and is being undone.
        RollingBack,
        /// The API server refused the write.
        WriteRejected,
        /// The operator lacks a permission.
        Forbidden,
        /// Admission replaced the value that we wrote.
        RewrittenByAdmission,
        /// The previous values were put back.
        Restored,
        /// The object was released.
        Released,

        // Conflicted
        /// A field manager owns a governed field with another value.
        FieldManagerConflict,
        /// An autoscaler owns the field.
        ManagedByAutoscaler,
        /// An older policy governs the same knob.
        KnobOwnedBy,
        /// A person changed a governed field; their value is held.
        ManualOverride,
        /// Two managers took a field from each other repeatedly.
        Contested,

        // ProfileBlocked, profiles
        /// A condition that a profile requires does not hold.
        RequirementUnmet,
        /// Two profiles whose conditions hold contradict each other.
        ProfilesContradict,
        /// A profile became active.
        ProfileEntered,
        /// A profile is not active any more.
        ProfileLeft,

        // RollbackPinned
        /// A rollback pins values until the spec changes.
        RollbackPinned,
        /// A rollback cannot be read, or pins what the policy cannot have: nothing is written.
        RollbackRefused,
        /// The rollback is of another policy, which had this name before: it pins nothing.
        RollbackIgnored,
        /// Values follow the spec again.
        RollbackEnded,

        // Compliant
        /// All thresholds hold.
        Within,
        /// At least one threshold is breached.
        Breached,
        /// Thresholds cannot be judged.
        NoData,
        /// There is no threshold.
        NoThresholds,

        // Effective
        /// Every pod tells the desired values.
        Verified,
        /// No pod tells the desired value.
        NotApplied,
        /// Some pods tell the desired value, and others do not.
        Partially,
        /// No knob says where its value can be read back.
        NoReadback,

        // Event
        /// A pattern was found, or several thresholds hint at one cause.
        Advised,

        // MetricsAvailable
        /// Every query was answered.
        Answered,
        /// A reading is NaN, infinite or not a number.
        NotANumber,
        /// So little happened in the window that no statistic says anything.
        TooFewSamples,
        /// A counter goes back so often that it is none.
        CounterReset,
        /// A summary does not export the percentile.
        NotExported,
        /// A sample is too old.
        StaleData,
        /// A sample lies in the future.
        ClockSkew,
        /// More than one series answers.
        AmbiguousResult,
        /// The labels that a threshold keeps apart have more values than it can tell apart.
        TooManySeries,
        /// The answer has another shape than asked for.
        WrongType,
        /// The backend answered with warnings.
        PartialResult,
        /// The backend cannot parse the query.
        QueryInvalid,
        /// The backend could not execute the query.
        QueryFailed,
        /// The backend does not answer.
        BackendUnavailable,
        /// The backend asks us to slow down.
        BackendThrottled,
        /// The backend refuses our credential.
        BackendUnauthorized,
        /// The answer is not what a Prometheus says.
        BadResponse,
        /// The query exceeds a limit of the backend.
        QueryTooExpensive,
        /// Nothing was asked yet.
        Unknown,

        // RulesLoaded
        /// Every rule is loaded and was evaluated.
        RulesLoaded,
        /// The rules were written a moment ago, and nobody has loaded them yet.
        RulesPending,
        /// The rules are there, and the Prometheus does not load them.
        RulesNotSelected,
        /// A rule cannot be read or evaluated.
        RulesRejected,
        /// The backend has no rules API, or the cluster no such kind.
        RulesNotServed,
        /// The rules of so many targets or thresholds do not fit into one object.
        RulesTooLarge,

        // why a rollout failed
        /// Containers of the new revision keep crashing.
        CrashLoop,
        /// The rollout exceeded its progress deadline.
        DeadlineExceeded,
        /// No node takes a pod of the new revision.
        Unschedulable,
        /// Pods of the new revision cannot be created: a quota or an admission webhook refuses them.
        FailedCreate,
    }
}
